"""What boto3 does with an S3 endpoint, check by check; prints a line of JSON for each. Run by s3-boto3.test.ts.

Arguments: the endpoint, the folder that the server serves, a folder for files.
"""

import hashlib
import io
import json
import os
import sys
import traceback
import urllib.error
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint, root, home = sys.argv[1:]
path_style = {"addressing_style": "path"}
s3 = boto3.client("s3", endpoint_url=endpoint, config=Config(s3=path_style, retries={"max_attempts": 1}))
signer = boto3.client("s3", endpoint_url=endpoint, config=Config(signature_version="s3v4", s3=path_style))
scheme = endpoint.split(":")[0]
checks = []


def check(function):
    checks.append(function)
    return function


def bucket(name):
    made = f"{name}-{scheme}"
    s3.create_bucket(Bucket=made)
    return made


def disk(*names):
    with open(os.path.join(root, *names), "rb") as file:
        return file.read()


def refused(function, **arguments):
    """The code and status with which a call fails."""
    try:
        function(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    raise AssertionError("the call has succeeded")


def fetch(url, method="GET", body=None, headers={}):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body, method=method, headers=headers)) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def same(found, expected):
    assert found == expected, f"{found!r} is not {expected!r}"


@check
def put_and_get():
    b = bucket("put")
    for key, body in [("bytes", b"0123456789"), ("empty", b""), ("stream", io.BytesIO(b"x" * 200_000))]:
        sent = body if isinstance(body, bytes) else body.getvalue()
        put = s3.put_object(Bucket=b, Key=key, Body=body, Metadata={"colour": "blue"}, StorageClass="STANDARD")
        same(put["ETag"], '"%s"' % hashlib.md5(sent).hexdigest())
        got = s3.get_object(Bucket=b, Key=key)
        same(got["Body"].read(), sent)
        same(got["Metadata"], {"colour": "blue"})
        same(disk(b, key), sent)
    same(s3.get_object(Bucket=b, Key="bytes", Range="bytes=-3")["Body"].read(), b"789")
    same(refused(s3.get_object, Bucket=b, Key="bytes", Range="bytes=10-")[0], "InvalidRange")
    same(refused(s3.get_object, Bucket=b, Key="none"), ("NoSuchKey", 404))
    same(refused(s3.list_objects_v2, Bucket="no-such-bucket"), ("NoSuchBucket", 404))
    same(refused(s3.head_object, Bucket=b, Key="none"), ("404", 404))
    assert b in [one["Name"] for one in s3.list_buckets()["Buckets"]]


@check
def upload_in_parts():
    b = bucket("parts")
    config = TransferConfig(multipart_threshold=8 << 20, multipart_chunksize=8 << 20)
    content = os.urandom(17 << 20)
    name = os.path.join(home, f"big-{scheme}")
    with open(name, "wb") as file:
        file.write(content)
    s3.upload_file(name, b, "folder/big", ExtraArgs={"ContentType": "x/y"}, Config=config)
    same(hashlib.sha256(disk(b, "folder", "big")).hexdigest(), hashlib.sha256(content).hexdigest())
    head = s3.head_object(Bucket=b, Key="folder/big")
    digests = b"".join(hashlib.md5(content[at : at + (8 << 20)]).digest() for at in range(0, len(content), 8 << 20))
    same((head["ETag"], head["ContentType"]), ('"%s-3"' % hashlib.md5(digests).hexdigest(), "x/y"))
    s3.download_file(b, "folder/big", name + "-back", Config=config)
    with open(name + "-back", "rb") as file:
        same(hashlib.sha256(file.read()).hexdigest(), hashlib.sha256(content).hexdigest())
    # In parts as well, for its threshold is below the size of the source.
    s3.copy({"Bucket": b, "Key": "folder/big"}, b, "copied", Config=config)
    same(hashlib.sha256(disk(b, "copied")).hexdigest(), hashlib.sha256(content).hexdigest())


@check
def odd_keys():
    b = bucket("odd")
    keys = ["a b", "a+b", "100%", "%2F%20", "😀/ü.txt", "it's \"it\"", "<&>", "a/b/c", "a.b", "~(!)*;:@=,$?#"]
    for key in keys:
        s3.put_object(Bucket=b, Key=key, Body=key.encode())
    expected = sorted(keys, key=lambda key: key.encode())
    for name in ["list_objects", "list_objects_v2"]:
        pages = list(s3.get_paginator(name).paginate(Bucket=b, PaginationConfig={"PageSize": 3}))
        same([len(page["Contents"]) for page in pages], [3, 3, 3, 1])
        same([one["Key"] for page in pages for one in page["Contents"]], expected)
        tops = s3.get_paginator(name).paginate(Bucket=b, Delimiter="/", PaginationConfig={"PageSize": 2})
        same(sorted(one["Prefix"] for page in tops for one in page.get("CommonPrefixes", [])), ["a/", "😀/"])
    for key in keys:
        same(s3.get_object(Bucket=b, Key=key)["Body"].read(), key.encode())
        s3.copy_object(Bucket=b, Key=f"copies/{key}", CopySource={"Bucket": b, "Key": key})
        same(s3.get_object(Bucket=b, Key=f"copies/{key}")["Body"].read(), key.encode())
    everything = [{"Key": key} for key in keys] + [{"Key": f"copies/{key}"} for key in keys] + [{"Key": "never"}]
    answer = s3.delete_objects(Bucket=b, Delete={"Objects": everything})
    same((len(answer["Deleted"]), answer.get("Errors")), (len(everything), None))
    same(os.listdir(os.path.join(root, b)), [])
    s3.delete_bucket(Bucket=b)
    assert not os.path.exists(os.path.join(root, b))


@check
def signed_links():
    b = bucket("links")
    at = {"Bucket": b, "Key": "by link/a+b.txt"}
    put = signer.generate_presigned_url("put_object", Params={**at, "ContentType": "text/x"})
    same(fetch(put, "PUT", b"linked", {"Content-Type": "text/y"})[0], 403)
    same(fetch(put, "PUT", b"linked", {"Content-Type": "text/x"})[0], 200)
    get = signer.generate_presigned_url("get_object", Params=at, ExpiresIn=60)
    same(fetch(get), (200, b"linked"))
    same(fetch(get, "PUT", b"changed")[0], 403)
    same(disk(b, "by link", "a+b.txt"), b"linked")


@check
def links_as_boto3_signs_them_by_default():
    b = bucket("default")
    s3.put_object(Bucket=b, Key="key", Body=b"secret")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": b, "Key": "key"})
    assert "AWSAccessKeyId=" in url, f"boto3 signs in another way by now: {url}"
    status, body = fetch(url)
    assert status in (400, 403), status
    assert b"signature_version='s3v4'" in body or b'signature_version="s3v4"' in body, body
    assert b"secret" not in body.replace(b"secret_access_key", b""), body


@check
def forms():
    b = bucket("forms")
    conditions = [["content-length-range", 1, 50], ["starts-with", "$x-amz-meta-note", ""]]
    post = signer.generate_presigned_post(b, "up/${filename}", Conditions=conditions, ExpiresIn=60)

    def send(fields, content):
        edge = "----an-edge"
        text = "".join(
            f'--{edge}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        )
        text += f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="it.txt"\r\n\r\n'
        body = text.encode() + content + f"\r\n--{edge}--\r\n".encode()
        # Nothing but the host says that it is for S3.
        url = post["url"].replace("127.0.0.1", "localhost")
        return fetch(url, "POST", body, {"Content-Type": f"multipart/form-data; boundary={edge}"})

    fields = {**post["fields"], "x-amz-meta-note": "noted"}
    same(send(fields, b"of a form\r\n--not the edge")[0], 204)
    same(disk(b, "up", "it.txt"), b"of a form\r\n--not the edge")
    same(s3.head_object(Bucket=b, Key="up/it.txt")["Metadata"], {"note": "noted"})
    same(send(fields, b"x" * 51)[0], 400)
    same(send({**fields, "acl": "public-read"}, b"x")[0], 403)
    same(send({**fields, "key": "elsewhere"}, b"x")[0], 403)
    same(os.listdir(os.path.join(root, b)), ["up"])
    same(disk(b, "up", "it.txt"), b"of a form\r\n--not the edge")


@check
def conditions():
    b = bucket("conditions")
    etag = s3.put_object(Bucket=b, Key="key", Body=b"one")["ETag"]
    same(refused(s3.get_object, Bucket=b, Key="key", IfNoneMatch=etag)[1], 304)
    same(refused(s3.get_object, Bucket=b, Key="key", IfMatch='"0"'), ("PreconditionFailed", 412))
    same(s3.get_object(Bucket=b, Key="key", IfMatch=etag)["Body"].read(), b"one")
    copy = {"Bucket": b, "Key": "copy", "CopySource": f"{b}/key"}
    same(refused(s3.copy_object, **copy, CopySourceIfNoneMatch=etag), ("PreconditionFailed", 412))
    s3.copy_object(**copy, CopySourceIfMatch=etag)
    same(disk(b, "copy"), b"one")


@check
def replaced_metadata():
    b = bucket("meta")
    s3.put_object(Bucket=b, Key="key", Body=b"text", Metadata={"a": "1"}, ContentType="x/y", CacheControl="no-store")
    source = {"Bucket": b, "Key": "key"}
    same(refused(s3.copy_object, Bucket=b, Key="key", CopySource=source)[0], "InvalidRequest")
    s3.copy_object(Bucket=b, Key="key", CopySource=source, MetadataDirective="REPLACE", Metadata={"b": "2"})
    head = s3.head_object(Bucket=b, Key="key")
    same((head["Metadata"], head.get("CacheControl"), head["ContentLength"]), ({"b": "2"}, None, 4))
    same(head["ETag"], '"%s"' % hashlib.md5(b"text").hexdigest())


@check
def configuration_reads():
    b = bucket("config")
    same(s3.get_bucket_location(Bucket=b)["LocationConstraint"], None)
    same("Status" in s3.get_bucket_versioning(Bucket=b), False)
    same(s3.get_bucket_acl(Bucket=b)["Grants"][0]["Permission"], "FULL_CONTROL")
    same(refused(s3.get_bucket_policy, Bucket=b), ("NoSuchBucketPolicy", 404))
    same(refused(s3.get_bucket_cors, Bucket=b), ("NoSuchCORSConfiguration", 404))
    same(refused(s3.get_bucket_lifecycle_configuration, Bucket=b), ("NoSuchLifecycleConfiguration", 404))
    rules = {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["https://example.org"]}]}
    s3.put_bucket_cors(Bucket=b, CORSConfiguration=rules)
    same(s3.get_bucket_cors(Bucket=b)["CORSRules"], rules["CORSRules"])
    s3.delete_bucket_cors(Bucket=b)
    versioning = {"Status": "Enabled"}
    same(refused(s3.put_bucket_versioning, Bucket=b, VersioningConfiguration=versioning), ("NotImplemented", 501))


for one in checks:
    try:
        one()
        error = None
    except Exception:
        error = traceback.format_exc()
    print(json.dumps({"name": one.__name__, "error": error}), flush=True)
