"""Every method, against real nodes."""

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

import edgehold
from edgehold import Delete, EdgeholdError, Put, Range, Ready, Reset


def code(f, *args, **kw):
    with pytest.raises(EdgeholdError) as e:
        f(*args, **kw)
    return e.value.code


def test_far_from_home(far, prefix):
    with edgehold.connect(far) as db:
        key = prefix + "far"
        version = db.put(key, "x")
        while (e := db.get(key)).served_by != "lease":
            pass
        assert (e.text(), e.version) == ("x", version)


def test_keys_of_any_bytes_are_themselves(db, prefix):
    p = prefix + "keys/"
    names = ["a//b", "a/../b", "a/./b", "a%2Fb", "a b?c#d", "\n", "ü", "%", "..%2F", "a/", "+", "\U0001f600"]
    for n in names:
        db.put(p + n, n)
    assert all(db.get(p + n).text() == n for n in names)
    odd = p.encode() + b"\xffa\xc3(\xe2\x82"
    db.put(odd, "bytes")
    listed = list(db.list(p))
    assert sorted(e.key[len(p) :] for e in listed if e.text() != "bytes") == sorted(names)
    (e,) = [e for e in listed if e.text() == "bytes"]
    assert e.key == p + "\udcffa\udcc3(\udce2\udc82" and db.get(e.key).text() == "bytes" and db.get(odd).key == e.key
    db.delete(e.key)
    assert not db.get(odd).exists
    for key in (".", ".."):
        v = db.put(key, b"\xff", ttl=60)
        assert (db.get(key).value, db.get(key).version) == (b"\xff", v)
        assert db.cas(key, "9.9", "x") == (False, v)
        db.delete(key, if_version=v)
    assert code(db.put, "\ud83d", "x") == "invalid"
    assert code(db.put, "", "x") == "invalid"


def test_values_are_text_bytes_or_json(db, prefix):
    key = prefix + "values"
    for v in ({"a": [1, "ü", None]}, [], 5, True, None, 1.5):
        db.put(key, v)
        assert db.get(key).json() == v
    for b in (b"\xfe", bytearray(b"x"), memoryview(b"y")):
        db.put(key, b)
        assert db.get(key).value == bytes(b)
    db.put(key, b"\xfe")
    assert code(db.get(key).text) == "invalid" and code(db.get(key).json) == "invalid"
    db.put(key, "\ufeffmark")
    assert db.get(key).text() == "\ufeffmark"
    for wrong in ({1, 2}, float("nan"), "\ud800"):
        assert code(db.put, key, wrong) == "invalid"
    assert code(db.put, key, bytes((1 << 20) + 1)) == "too_large"


def test_conditions(db, prefix):
    key = prefix + "conditions"
    never = db.get(key)
    assert (never.exists, never.value, never.text(), never.json(), never.version) == (False, None, None, None, "0.0")
    ok, v = db.cas(key, None, "1")
    assert ok and not db.cas(key, None, "2").ok
    assert db.cas(key, v, "2").ok and db.cas(key, v, "3") == (False, db.get(key).version)
    assert code(db.put, key, "x", if_absent=True) == "precondition_failed"
    gone = db.delete(key, if_exists=True)
    assert code(db.put, key, "x", if_exists=True) == "precondition_failed"
    assert db.get(key).version == gone and db.cas(key, gone, "y").ok
    with pytest.raises(EdgeholdError) as e:
        db.put(key, "z", if_version="1.1")
    assert (e.value.applied, e.value.op, e.value.key, e.value.version) == ("no", "put", key, db.get(key).version)
    assert str(e.value).startswith(f"put {key!r}: precondition_failed: the key is at version ")


def test_reads(db, prefix):
    keys = [prefix + "many/" + k for k in "abc"]
    db.put(keys[0], "a", ttl=3600)
    db.put(keys[2], b"\xff")
    a, b, c = db.get_many(keys)
    assert (a.text(), b.exists, c.value) == ("a", False, b"\xff") and 3500 < a.ttl <= 3600 and 3500 < db.get(keys[0]).ttl <= 3600
    db.put(keys[0], "a", keep_ttl=True)
    assert db.get(keys[0]).ttl > 3500 and code(db.put, keys[0], "a", keep_ttl=True, ttl=1) == "invalid"
    assert db.get_many([]) == []
    e = db.get(keys[0], consistency="bounded", max_stale=60)
    assert e.text() == "a" and (e.age is None or e.age <= 60)
    assert db.get(keys[0], consistency="quorum").served_by == "owner"
    assert code(db.get, keys[0], consistency="bounded") == "invalid"


def test_list(db, prefix):
    p = prefix + "list/"
    for k in "abcd":
        db.put(p + k, k)

    def keys(r, **o):
        return "".join(e.key[len(p) :] for e in db.list(r, **o))

    assert keys(p, page_size=1) == "abcd" and keys(p, limit=3, page_size=2) == "abc" and keys(p, reverse=True) == "dcba"
    assert keys(Range(p + "b", p + "d")) == "bc"
    listed = db.list(p, keys_only=True)
    assert all(e.value is None and e.exists for e in listed)
    db.put(p + "e", "e")
    for event in db.watch(p, cursor=listed.cursor):
        if not isinstance(event, Ready):
            assert isinstance(event, Put) and event.key == p + "e"
            break
    assert code(list, db.list(p, page_size=5000)) == "too_large"


def test_watch(db, prefix):
    p = prefix + "watch/"
    db.put(p + "a", "1")
    seen = []
    for event in db.watch(p, list=True):
        seen.append(type(event).__name__)
        if isinstance(event, Ready):
            db.put(p + "a", {"n": 2})
            db.put(p + "b", "x", ttl=0.1)
        if isinstance(event, Put) and event.entry.version and event.entry.value == b'{"n":2}':
            cursor = event.cursor
        if isinstance(event, Delete):
            assert event.expired and event.key == p + "b"
            break
    assert seen == ["Reset", "Put", "Ready", "Put", "Put", "Delete"]
    for event in db.watch(p, cursor=cursor, values=False):
        if isinstance(event, Put) and event.key == p + "b":
            assert event.entry.value is None
            break
    assert code(next, db.watch(p, cursor="no cursor")) == "invalid"
    assert isinstance(next(db.watch(p, list=True)), Reset)


def test_transactions(db, prefix):
    a, b = prefix + "tx/a", prefix + "tx/b"
    db.put(a, "5")

    def f(tx):
        tx.add(a, 2)
        tx.append_if_absent(b, "x")
        tx.append_if_absent(b, "yz")
        tx.append_if_absent(b, "y")
        assert [e.text() for e in tx.get_many([a, b])] == ["7", "xyz"]
        tx.delete(b)
        assert not tx.get(b).exists
        tx.put(b, {"n": 1}, ttl=60)
        tx.put(b, {"n": 1}, keep_ttl=True)
        tx.append(b, " ", keep_ttl=True)
        assert tx.get(b).text() == '{"n":1} '
        return "done"

    assert db.txn(f) == "done"
    assert db.get(a).text() == "7" and db.get(b).json() == {"n": 1} and db.get(b).ttl > 0

    def fails(tx):
        tx.put(a, "9")
        raise KeyError("own")

    with pytest.raises(KeyError):
        db.txn(fails)
    assert code(db.txn, lambda tx: tx.add(b, 1)) == "precondition_failed"
    assert code(db.view, lambda tx: tx.put(a, "9")) == "invalid"
    leaked = []
    db.txn(leaked.append)
    assert code(leaked[0].put, a, "9") == "invalid"
    assert db.get(a).text() == "7"


def test_functions_and_touch(db, prefix):
    p = prefix + "functions/"
    n, t, s = p + "n", p + "t", p + "s"
    db.put(t, "x", ttl=60)

    def steps(tx):
        tx.sum64(n, 5)
        tx.sum64(n, (1 << 64) - 2, ttl=60)  # it wraps
        tx.max64(n, 7, keep_ttl=True)
        tx.min64(n, 6, keep_ttl=True)
        assert tx.get(n).value == bytes([6, 0, 0, 0, 0, 0, 0, 0])
        tx.touch(t, 3600)
        assert tx.get(t).text() == "x"
        tx.append_if_absent(s, "a", ttl=60)

    db.txn(steps)
    a, b, c = db.get_many([n, t, s])
    assert (a.value[0], b.text(), c.text()) == (6, "x", "a")
    assert a.ttl <= 60 and b.ttl > 3000 and c.ttl <= 60
    touched = db.touch(s, 3600)
    assert touched.version == c.version and touched.ttl > 3000 and touched.value is None
    assert not db.touch(p + "none", 1).exists
    assert code(db.txn, lambda tx: tx.sum64(t, 1)) == "precondition_failed"
    for bad in (lambda tx: tx.sum64(n, -1), lambda tx: tx.max64(n, 1 << 64), lambda tx: tx.min64(n, True), lambda tx: tx.touch(n, -1)):
        assert code(db.txn, bad) == "invalid"


def test_atomic(db, prefix):
    p = prefix + "steps/"
    a, b, c, n = (p + k for k in "abcn")
    first = db.put(a, "1")
    committed, results = db.atomic(
        [
            {"add": a, "delta": 4}, {"put": b, "value": {"x": 1}, "ttl": 60}, {"append": c, "value": "y"}, {"append_if_absent": c, "value": "y"},
            {"sum64": n, "value": 7}, {"min64": n, "value": 5}, {"max64": n, "value": 6}, {"touch": b, "ttl": 3600},
            {"put": b, "value": "z", "keep_ttl": True}, {"get": b}, {"list": p, "limit": 2}, {"delete": c}, {"list": p},
        ],
        when=[{"key": a, "version": first}, {"key": b, "exists": False}, {"key": a, "value": "1"}],
    )
    total, put, length, *_, touched, _, got, two, gone, every = results
    assert committed and (total.text(), put.value, length.text(), touched.exists, got.text(), gone.exists) == ("5", None, "1", True, "z", False)
    assert got.ttl > 3000 and ["".join(e.key[len(p) :] for e in x) for x in (two, every)] == ["ab", "abn"]
    other = db.atomic([{"delete": a}], when=[{"key": a, "exists": False}], otherwise=[{"get": a}, {"get": c}])
    assert not other.committed and [e.text() for e in other.results] == ["5", None]
    id = str(uuid.uuid4())
    for _ in range(2):
        db.atomic([{"add": a, "delta": 1}], idempotency_key=id)
    assert db.get(a).text() == "6"
    assert code(db.atomic, [{"sum64": a, "value": 1}]) == "precondition_failed"
    for bad in ([{"nothing": a}], [{"get": a, "put": a}], [], [{"sum64": a, "value": "1"}], [{"add": a}]):
        assert code(db.atomic, bad) == "invalid"


def test_transactions_of_threads_are_all_counted(db, prefix):
    key = prefix + "counter"

    def count(i):
        if i % 2:
            db.txn(lambda tx: tx.add(key, 1), timeout=60)
        else:
            db.txn(lambda tx: tx.put(key, str(int(tx.get(key).text() or 0) + 1)), timeout=60)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(12)))
    assert db.get(key).text() == "12"


def test_a_view_never_sees_half_of_a_transaction(db, prefix):
    a, b = prefix + "view/a", prefix + "view/b"

    def write(n):
        db.txn(lambda tx: (tx.put(a, n), tx.put(b, n)))

    write(0)
    done = threading.Event()

    def writer():
        for n in range(1, 10):
            write(n)
        done.set()

    with ThreadPoolExecutor(1) as pool:
        wrote = pool.submit(writer)
        while not wrote.done():
            x, y = db.view(lambda tx: (tx.get(a).json(), tx.get(b).json()), timeout=60)
            assert x == y
        wrote.result()


def test_locks(db, prefix):
    name = prefix + "lock"
    first = db.lock(name, 60, owner="first")
    with pytest.raises(EdgeholdError, match="held by first") as e:
        db.lock(name, 60, wait=0)
    assert e.value.code == "conflict"
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(db.lock, name, 60)
        first.unlock()
        with second.result() as held:
            assert held.fence > first.fence and first.lost and not held.lost and not held.wait_lost(0.01)

            def guarded(lock):
                def f(tx):
                    tx.guard(lock)
                    tx.put(prefix + "guarded", str(lock.fence))

                return f

            assert code(db.txn, guarded(first)) == "precondition_failed"
            db.txn(guarded(held))
            assert db.get(prefix + "guarded").text() == str(held.fence)
    assert held.lost
    held.unlock()
    assert code(db.lock, "a/.lock/b", 60) == "invalid"


def test_a_lock_is_renewed(db, prefix):
    lock = db.lock(prefix + "renewed", 3)
    time.sleep(4)
    try:
        other = db.lock(prefix + "renewed", 3, wait=0)
    except EdgeholdError as e:
        other = e.code
    if lock.lost:
        return  # the machine stood still for longer than the lock lives
    assert other == "conflict"
    lock.unlock()


def test_an_idempotency_key_is_honoured(db, prefix):
    key, once = prefix + "once", str(uuid.uuid4())
    v = db.put(key, "x", idempotency_key=once)
    db.put(key, "y")
    assert db.put(key, "x", idempotency_key=once) == v and db.get(key).text() == "y"
    assert code(db.put, key, "z", idempotency_key=once) == "conflict"
    for wrong in ("", "a b", "line\n"):
        assert code(db.put, key, "z", idempotency_key=wrong) == "invalid"
