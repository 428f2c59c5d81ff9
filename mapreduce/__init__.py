"""Raw reviews to a store: three mrjob jobs and the command that drives them."""
