"""Expands template.yaml as AWS does, with AWS's own translator, into JSON.

What SAM adds, roles above all, is in no template and is worth a look.
"""
import json
import os
import sys

from cfnlint.decode import decode_str
from samtranslator.parser.parser import Parser
from samtranslator.translator.transform import transform


class Policies:
    """The names of AWS's policies by which SAM attaches them."""

    def load(self):
        return {
            name: "arn:aws:iam::aws:policy/service-role/" + name
            for name in ("AWSLambdaBasicExecutionRole", "AWSLambdaVPCAccessExecutionRole")
        }


os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")
template, problems = decode_str(sys.stdin.read())
if problems:
    sys.exit(str(problems))
# A folder is not in S3 before sam deploy has put it there.
for resource in template["Resources"].values():
    if "CodeUri" in resource["Properties"]:
        resource["Properties"]["CodeUri"] = "s3://bucket/key"
parameters = {
    name: p.get("Default", "eu-west-1") for name, p in template["Parameters"].items()
}
json.dump(transform(template, parameters, Policies()), sys.stdout, indent=1)
