"""redis-py: strings, pipelines, transactions, scans, times to live."""

import os

import redis

host, port = os.environ["RESP_ADDRESS"].split(":")

for protocol in (2, 3):
    r = redis.Redis(host=host, port=int(port), db=4, protocol=protocol, decode_responses=True)
    r.delete("a", "b", "c", "n")
    assert r.ping()
    assert r.set("a", "1") is True
    assert r.get("a") == "1"
    assert r.get("none") is None
    assert r.set("a", "2", nx=True) is None
    assert r.set("a", "2", get=True) == "1"
    assert r.mset({"b": "3", "c": "4"}) is True
    assert r.mget("a", "b", "none") == ["2", "3", None]
    assert r.incrby("n", 5) == 5
    assert r.decr("n") == 4
    assert r.append("b", "x") == 2
    assert r.expire("a", 100) is True and 90 < r.ttl("a") <= 100
    assert r.persist("a") is True and r.ttl("a") == -1
    assert r.getex("a", ex=100) == "2" and r.ttl("a") > 90
    assert sorted(r.scan_iter(match="[abc]", count=1)) == ["a", "b", "c"]
    assert r.type("a") == "string"

    with r.pipeline(transaction=False) as p:
        assert p.set("a", "1").incr("a").get("a").execute() == [True, 2, "2"]

    def double(p):
        n = int(p.get("n"))
        p.multi()
        p.set("n", n * 2)

    assert r.transaction(double, "n") == [True]
    assert r.get("n") == "8"
    with r.pipeline() as p:
        p.watch("n")
        r.set("n", "100")
        p.multi()
        p.set("n", "1")
        try:
            p.execute()
            raise AssertionError("a watched key has changed")
        except redis.WatchError:
            pass
    try:
        r.lpush("list", "x")
        raise AssertionError("keys hold strings")
    except redis.ResponseError as e:
        assert "unknown command" in str(e)
    assert r.delete("a", "b", "none") == 2
    assert "reads_by_lease" in r.info("stats")
    r.close()
print("redis-py: ok")
