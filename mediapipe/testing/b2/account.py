"""The calls on the account and its buckets."""

from dataclasses import replace
from typing import Any

from mediapipe.testing.b2.access import Key
from mediapipe.testing.b2.calls import Call, Json, bucket_json, permit
from mediapipe.testing.b2.errors import refuse
from mediapipe.testing.b2.world import ACCOUNT_ID, MINIMUM_PART, RECOMMENDED_PART, World

NESTED_ANSWER_VERSION = 3  # from here on, the answer has apiInfo.storageApi
BUCKET_LIST_VERSION = 4  # from here on, a key may be limited to several buckets


def authorize_account(world: World, call: Call) -> Json:
    token, key = world.access.login(call.authorization, call.version)
    answer = {"accountId": ACCOUNT_ID, "authorizationToken": token}
    urls = {
        "apiUrl": world.url,
        "downloadUrl": world.url,
        "s3ApiUrl": world.url,
        "recommendedPartSize": RECOMMENDED_PART,
        "absoluteMinimumPartSize": MINIMUM_PART,
    }
    buckets = _allowed_buckets(world, key)
    scope: Json = {"capabilities": list(key.capabilities), "namePrefix": key.prefix}
    if call.version >= BUCKET_LIST_VERSION:
        allowed = {**scope, "buckets": buckets or None}
        return {
            **answer,
            "applicationKeyExpirationTimestamp": None,
            "apiInfo": {"storageApi": {**urls, "allowed": allowed}},
        }
    first = buckets[0] if buckets else {"id": None, "name": None}
    scope |= {"bucketId": first["id"], "bucketName": first["name"]}
    if call.version >= NESTED_ANSWER_VERSION:
        return {**answer, "apiInfo": {"storageApi": {**urls, **scope}}}
    return {**answer, **urls, "minimumPartSize": RECOMMENDED_PART, "allowed": scope}


def _allowed_buckets(world: World, key: Key) -> list[dict[str, Any]]:
    buckets = [world.store.bucket_named(name) for name in key.buckets]
    return [
        # A key outlives its bucket; B2 then gives the id and no name.
        {"id": bucket.bucket_id if bucket else "gone", "name": bucket.name if bucket else None}
        for bucket in buckets
    ]


def list_buckets(world: World, call: Call) -> Json:
    bucket_id, name = call.body.get("bucketId"), call.body.get("bucketName")
    key = permit(world, call)
    if key.buckets and not bucket_id and not name:
        refuse("not entitled: a restricted key must name its bucket", "unauthorized", 401)
    buckets = [
        bucket
        for bucket in world.store.buckets()
        if bucket_id in (None, "", bucket.bucket_id) and name in (None, "", bucket.name)
    ]
    for bucket in buckets:
        permit(world, call, bucket.bucket_id)
    return {"buckets": [bucket_json(bucket) for bucket in buckets]}


def create_bucket(world: World, call: Call) -> Json:
    key = permit(world, call)
    if key.buckets:
        refuse("not entitled: key is restricted to its buckets", "unauthorized", 401)
    bucket = world.store.new_bucket(call.body["bucketName"], call.body["bucketType"])
    return _change(world, call, bucket.bucket_id)


def update_bucket(world: World, call: Call) -> Json:
    permit(world, call, call.body["bucketId"])
    return _change(world, call, call.body["bucketId"])


def _change(world: World, call: Call, bucket_id: str) -> Json:
    with world.store.lock:
        bucket = world.store.bucket(bucket_id)
        if call.body.get("ifRevisionIs") not in (None, bucket.revision):
            refuse("Bucket has another revision", "conflict", 409)
        changed = replace(
            bucket,
            kind=call.body.get("bucketType") or bucket.kind,
            lifecycle=_given(call.body.get("lifecycleRules"), bucket.lifecycle),
            info=_given(call.body.get("bucketInfo"), bucket.info),
            revision=bucket.revision + 1,
        )
        return bucket_json(world.store.put_bucket(changed))


def _given(value: Any, default: Any) -> Any:
    """An empty list means "remove all rules"; only an absent one leaves things as they are."""
    return default if value is None else value


def delete_bucket(world: World, call: Call) -> Json:
    bucket = world.store.bucket(call.body["bucketId"])
    permit(world, call, bucket.bucket_id)
    world.store.remove_bucket(bucket.bucket_id)
    return bucket_json(bucket)
