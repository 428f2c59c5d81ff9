"""Key pair, security group and launch template of a cluster; all carry its id.

Each is made by one request, which tags it, and found by its name: `reviewmill-ID`.
"""

import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.aws import aws_errors, client
from cluster.gpu.cloud import CLUSTER_TAG, Cloud, error_code, tags
from cluster.gpu.config import GpuConfig
from reviews.errors import EngineError, UserError

IMAGE = ("/aws/service/deeplearning/ami/x86_64/"
         "base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id")
ADDRESS_URL = "https://checkip.amazonaws.com"
SSH = 22


def name_of(cluster: str) -> str:
    """Name of whatever belongs to a cluster."""
    return f"reviewmill-{cluster}"


def newest_image(region: str | None) -> str:
    """Amazon's newest base image with NVIDIA's driver."""
    with aws_errors("the newest image (or give --image ami-...)"):
        found = client("ssm", region).get_parameter(Name=IMAGE)
    return str(found["Parameter"]["Value"])


def own_network() -> str:
    """Network of this machine alone, by its address as AWS sees it."""
    try:
        with urllib.request.urlopen(ADDRESS_URL, timeout=10) as answer:
            return f"{answer.read(64).decode().strip()}/32"
    except OSError as error:
        raise UserError(f"{ADDRESS_URL}: {error}; give --ssh-from ADDRESS/32, the address of this "
                        "machine as the internet sees it") from None


def make_key(folder: Path) -> Path:
    """A private key for the cluster alone, and its public half beside it."""
    file = folder / "key"
    made = subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "reviewmill",
                           "-f", str(file)], capture_output=True, text=True)
    if made.returncode:
        raise UserError(f"ssh-keygen: {made.stderr.strip()}")
    return file


def create_key_pair(cloud: Cloud, cluster: str, public: bytes) -> None:
    """Make the public key known to EC2, which puts it onto the nodes."""
    with aws_errors("key pair"):
        cloud.ensure(
            lambda: cloud.ec2.import_key_pair(
                KeyName=name_of(cluster), PublicKeyMaterial=public,
                TagSpecifications=tags(["key-pair"], cluster)),
            lambda: _key_pair(cloud, cluster))


def _key_pair(cloud: Cloud, cluster: str) -> str | None:
    wanted = [{"Name": f"tag:{CLUSTER_TAG}", "Values": [cluster]}]
    found = cloud.ec2.describe_key_pairs(Filters=wanted)["KeyPairs"]
    return str(found[0]["KeyName"]) if found else None


def create_security_group(cloud: Cloud, cluster: str, ssh_from: str, subnet: str | None) -> str:
    """A group that lets in ssh from one network, and everything from itself; its id."""
    with aws_errors("security group"):
        network = _network(cloud, subnet)
        group = cloud.ensure(
            lambda: cloud.ec2.create_security_group(
                GroupName=name_of(cluster), Description=f"nodes of {cluster}", VpcId=network,
                TagSpecifications=tags(["security-group"], cluster)),
            lambda: _security_group(cloud, cluster))
        rules = [
            {"IpProtocol": "tcp", "FromPort": SSH, "ToPort": SSH,
             "IpRanges": [{"CidrIp": ssh_from, "Description": "ssh from the launcher"}]},
            {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}]
        cloud.ensure(
            lambda: cloud.ec2.authorize_security_group_ingress(
                GroupId=group, IpPermissions=rules),
            lambda: _rules(cloud, group, len(rules)))
    return group


def _network(cloud: Cloud, subnet: str | None) -> str:
    """The network of a subnet, or the default one."""
    if subnet:
        return str(cloud.ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["VpcId"])
    found = cloud.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not found:
        raise UserError(f"{cloud.region} has no default network: give --subnet")
    return str(found[0]["VpcId"])


def _security_group(cloud: Cloud, cluster: str) -> str | None:
    wanted = [{"Name": f"tag:{CLUSTER_TAG}", "Values": [cluster]}]
    found = cloud.ec2.describe_security_groups(Filters=wanted)["SecurityGroups"]
    return str(found[0]["GroupId"]) if found else None


def _rules(cloud: Cloud, group: str, count: int) -> bool | None:
    """True where the group has all its rules."""
    wanted = [{"Name": "group-id", "Values": [group]}]
    found = cloud.ec2.describe_security_groups(Filters=wanted)["SecurityGroups"]
    return True if found and len(found[0]["IpPermissions"]) >= count else None


def root_device(cloud: Cloud, image: str) -> str:
    """Name of an image's first disk, which is to be encrypted."""
    with aws_errors(f"image {image}"):
        return str(cloud.ec2.describe_images(ImageIds=[image])["Images"][0]["RootDeviceName"])


def template(
    config: GpuConfig, cluster: str, image: str, device: str, group: str
) -> dict[str, Any]:
    """Data of the launch template: what all nodes have in common, whatever their type."""
    network: dict[str, Any] = {
        "DeviceIndex": 0, "Groups": [group], "DeleteOnTermination": True,
        "AssociatePublicIpAddress": True}
    if config.subnet:
        network["SubnetId"] = config.subnet
    disk = {"VolumeSize": config.disk_gb, "VolumeType": "gp3", "Encrypted": True,
            "DeleteOnTermination": True}
    return {
        "ImageId": image, "KeyName": name_of(cluster), "NetworkInterfaces": [network],
        "BlockDeviceMappings": [{"DeviceName": device, "Ebs": disk}],
        "IamInstanceProfile": {"Name": config.node_role},
        # A node that shuts itself down is gone, and costs nothing more.
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled",
                            "HttpPutResponseHopLimit": 1},
    }


def create_template(cloud: Cloud, cluster: str, data: dict[str, Any]) -> None:
    """Make the launch template."""
    with aws_errors("launch template"):
        cloud.ensure(
            lambda: cloud.ec2.create_launch_template(
                LaunchTemplateName=name_of(cluster), ClientToken=name_of(cluster),
                LaunchTemplateData=data, TagSpecifications=tags(["launch-template"], cluster)),
            lambda: _template(cloud, cluster))


def _template(cloud: Cloud, cluster: str) -> str | None:
    wanted = [{"Name": f"tag:{CLUSTER_TAG}", "Values": [cluster]}]
    found = cloud.ec2.describe_launch_templates(Filters=wanted)["LaunchTemplates"]
    return str(found[0]["LaunchTemplateId"]) if found else None


def clusters_with_resources(cloud: Cloud) -> set[str]:
    """Ids of all clusters of which a group, a template or a key pair is left."""
    wanted = [{"Name": "tag-key", "Values": [CLUSTER_TAG]}]
    with aws_errors("what is left of clusters"):
        every = [*cloud.ec2.describe_security_groups(Filters=wanted)["SecurityGroups"],
                 *cloud.ec2.describe_launch_templates(Filters=wanted)["LaunchTemplates"],
                 *cloud.ec2.describe_key_pairs(Filters=wanted)["KeyPairs"]]
    return {tag["Value"] for one in every for tag in one["Tags"] if tag["Key"] == CLUSTER_TAG}


def delete_resources(cloud: Cloud, cluster: str) -> None:
    """Delete all three; a group whose interfaces are not gone yet is tried again."""
    kinds = (
        (_template, lambda found: cloud.ec2.delete_launch_template(LaunchTemplateId=found)),
        (_security_group, lambda found: cloud.ec2.delete_security_group(GroupId=found)),
        (_key_pair, lambda found: cloud.ec2.delete_key_pair(KeyName=found)))
    until, absent = time.monotonic() + cloud.pace.end_s, 0
    while absent < 2:
        with aws_errors(f"what is left of {cluster}"):
            left = [(found, delete) for find, delete in kinds
                    if (found := find(cloud, cluster)) is not None]
        for found, delete in left:
            _delete(found, delete)
        absent = 0 if left else absent + 1
        if left and time.monotonic() > until:
            raise EngineError(f"{left[0][0]} of {cluster} is still in use after "
                              f"{cloud.pace.end_s:.0f} s: run down again")
        if absent < 2:
            time.sleep(cloud.pace.poll_s if left else cloud.pace.absence_s)


def _delete(found: str, delete: Callable[[str], Any]) -> None:
    from botocore.exceptions import ClientError

    try:
        delete(found)
    except ClientError as error:
        code = error_code(error)
        if code not in ("DependencyViolation", "InvalidGroup.InUse") and "NotFound" not in code:
            with aws_errors(f"{found} was not deleted"):
                raise
