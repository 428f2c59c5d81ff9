"""Storage: local files, s3:// and hdfs:// addresses, staging, work files."""
