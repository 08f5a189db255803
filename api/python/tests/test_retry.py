"""What is tried again, and what an error says: against scripted nodes."""

import json
import time

import httpx
import pytest

import edgehold
from edgehold import Delete, EdgeholdError, Gap, Put
from edgehold._watch import Parser


def scripted(urls, answer, **options):
    """A client whose requests the function answers, and the list of what was sent."""
    requests = []

    def handle(request):
        requests.append(request)
        request.at = time.monotonic()
        return answer(request, len(requests))

    http = httpx.Client(transport=httpx.MockTransport(handle))
    return edgehold.connect(urls, http=http, **options), requests


def ok(*_):
    return httpx.Response(200, headers={"Edgehold-Version": "1.7"}, json={"key": "k", "version": "1.7"})


def problem(status, code, headers=None, **more):
    text = json.dumps({"status": status, "code": code, "detail": "because", "applied": "no", **more})
    return httpx.Response(status, headers={"Content-Type": "application/problem+json", **(headers or {})}, text=text)


def later(*_):
    """An answer that asks for more time than a call has."""
    return problem(503, "unavailable", retry_after=3600)


def broken(request, n):
    if n == 1:
        raise httpx.ConnectError("broken")
    return later()


def error(f, *args, **kw):
    with pytest.raises(EdgeholdError) as e:
        f(*args, **kw)
    return e.value


def test_a_write_goes_to_the_next_node_with_the_same_key():
    def answer(request, _):
        if request.url.host == "a":
            raise httpx.ConnectError("refused")
        return ok()

    db, requests = scripted(["http://a", "http://b"], answer)
    assert db.put("k", "v") == "1.7"
    db.put("k", "v")
    assert [r.url.host for r in requests] == ["a", "b", "b"]
    ids = [r.headers["Idempotency-Key"] for r in requests]
    assert ids[0] == ids[1] and ids[0].endswith("-1-1") and ids[2].endswith("-2-2")


def test_retry_after_is_waited_for_and_bounded():
    db, requests = scripted("http://a", lambda _, n: problem(503, "unavailable", retry_after=0.3) if n == 1 else ok())
    db.put("k", "v")
    assert requests[1].at - requests[0].at >= 0.29
    db, requests = scripted("http://a", later)
    e = error(db.put, "k", "v")
    assert (e.code, e.applied, e.retry_after, len(requests)) == ("unavailable", "no", 3600, 1)


def test_pauses_grow():
    db, requests = scripted("http://a", lambda *_: problem(503, "unavailable"), timeout=3)
    assert error(db.get, "k").code == "unavailable"
    assert 2 <= len(requests) <= 14


@pytest.mark.parametrize(
    "status,code", [(400, "invalid"), (401, "unauthenticated"), (403, "denied"), (409, "conflict"), (413, "too_large")]
)
def test_what_ends_is_what_the_node_says_unless_an_attempt_is_unknown(status, code):
    db, requests = scripted(["http://a", "http://b"], lambda *_: problem(status, code))
    e = error(db.put, "k", "v")
    assert (e.code, e.applied, e.detail, len(requests)) == (code, "no", "because", 1)

    def after(request, n):
        if n == 1:
            raise httpx.ReadError("broken")
        return problem(status, code)

    e = error(scripted(["http://a", "http://b"], after)[0].put, "k", "v")
    assert (e.code, e.applied) == ("ambiguous", "unknown")


def test_a_condition_is_what_came_of_the_write():
    def answer(request, n):
        if n == 1:
            raise httpx.ReadError("broken")
        return problem(412, "precondition_failed", {"Edgehold-Version": "1.9"})

    e = error(scripted(["http://a", "http://b"], answer)[0].put, "k", "v", if_version="1.1")
    assert (e.code, e.applied, e.version) == ("precondition_failed", "no", "1.9")


def test_a_write_whose_outcome_is_unknown_says_so_and_a_read_never_does():
    for answer in (broken, lambda *_: problem(500, "internal", applied="unknown"), lambda _, n: httpx.Response(502) if n == 1 else later()):
        e = error(scripted("http://a", answer)[0].put, "k", "v")
        assert (e.code, e.applied) == ("ambiguous", "unknown")
        e = error(scripted("http://a", answer)[0].get, "k")
        assert e.code in ("unavailable", "internal") and e.applied == "no"


def test_an_answer_that_is_not_edgeholds_is_an_error():
    for status, want in ((404, "invalid"), (200, "internal"), (302, "invalid"), (403, "denied")):
        assert error(scripted("http://a", lambda *_: httpx.Response(status, text="<html>"))[0].get, "k").code == want


    db, _ = scripted("http://a", lambda *_: httpx.Response(200, text="<html>"))
    assert "is the URL" in str(error(next, db.watch("p/"))) and "is the URL" in str(error(list, db.list("p/")))


def test_a_lock_that_is_not_given_after_a_broken_attempt_is_a_conflict():
    def answer(request, n):
        if n == 1:
            raise httpx.ReadError("broken")
        return problem(409, "conflict")

    e = error(scripted("http://a", answer)[0].lock, "l", 3, wait=0)
    assert (e.code, e.applied, e.key) == ("conflict", "no", "l")


def test_a_call_ends_with_its_time():
    def hangs(request, _):
        raise httpx.ReadTimeout("no answer")

    e = error(scripted("http://a", hangs, timeout=0.2)[0].put, "k", "v")
    assert e.code in ("ambiguous", "unavailable")
    db, requests = scripted(["http://a", "http://b"], ok)
    db.put("k", "v", timeout=4, ttl=1.5)
    assert dict(requests[0].url.params)["ttl"] == "1500000us" and requests[0].url.params["timeout"].endswith("ms")
    assert 0 < requests[0].extensions["timeout"]["read"] <= 2


def test_tokens():
    tokens = iter(["t1", "t2"])
    db, requests = scripted("http://a", ok, token=lambda: next(tokens))
    db.put("k", "v")
    db.put("k", "v")
    assert [r.headers["Authorization"] for r in requests] == ["Bearer t1", "Bearer t2"]
    assert error(db.put, "k", "v").code == "unauthenticated"


def test_urls():
    for wrong in ("ftp://x", "http://", "http://a?b", []):
        assert error(edgehold.connect, wrong).code == "invalid"


def test_a_transaction_whose_answer_was_lost_takes_effect_once(home, prefix):
    lost = []

    class Loses(httpx.HTTPTransport):
        def handle_request(self, request):
            response = super().handle_request(request)
            if request.method == "POST" and not lost:
                response.read()
                lost.append(request)
                raise httpx.ReadError("the answer was lost")
            return response

    with httpx.Client(transport=Loses()) as http:
        db = edgehold.connect(home, http=http)
        db.txn(lambda tx: tx.add(prefix + "lost", 1))
        assert lost and db.get(prefix + "lost").text() == "1"


class Breaks(httpx.SyncByteStream):
    """A stream that breaks off after its text."""

    def __init__(self, text):
        self.bytes = text.encode()

    def __iter__(self):
        for i in range(0, len(self.bytes), 7):  # which cuts lines and characters
            yield self.bytes[i : i + 7]
        raise httpx.ReadError("broken")


def event(name, data, id=None):
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n" + (f"id: {id}\n" if id else "") + "\n"


def put(key, version, id=None):
    return event("put", {"key": "p/" + key, "value": "wért", "version": version}, id)


def watch_of(*streams, **options):
    db, requests = scripted("http://a", lambda _, n: httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=Breaks(streams[n - 1])))
    out = []
    try:
        for e in db.watch("p/", **options):
            out.append(f"put {e.key[2:]} {e.entry.version}" if isinstance(e, Put) else e if isinstance(e, (Gap, Delete)) else type(e).__name__)
    except EdgeholdError as e:
        out.append(e.code)
    return out, [dict(r.url.params) for r in requests]


def test_a_watch_goes_on_where_it_was_and_repeats_nothing():
    out, asked = watch_of(
        ": comment\nretry: 1000\n\n" + event("ready", {}, "c0") + put("a", "1.9") + put("b", "1.10", "c1") + put("a", "1.11") + put("c", "1.12"),
        event("ready", {}, "c1") + put("a", "1.11") + put("c", "1.12", "c2") + put("d", "1.13"),
        event("ready", {}, "c2") + put("d", "1.13") + put("d", "1.14", "c3") + event("end", {"code": "denied", "detail": "no more"}),
    )
    assert out == ["Ready", "put a 1.9", "put b 1.10", "put a 1.11", "put c 1.12", "Ready", "put d 1.13", "Ready", "put d 1.14", "denied"]
    assert [a.get("from") for a in asked] == [None, "c1", "c2"] and not any("timeout" in a for a in asked)


def test_a_watch_with_a_list_forgets_at_a_reset_and_a_gap_is_said():
    out, asked = watch_of(
        event("reset", {}) + put("a", "1.1"),
        event("reset", {}) + put("a", "1.1") + event("ready", {}, "c1") + put("b", "1.2", "c2"),
        event("reset", {}) + put("b", "1.2") + event("ready", {}, "c3") + event("end", {"code": "invalid"}),
        list=True,
    )
    assert out == ["Reset", "put a 1.1", "Reset", "put a 1.1", "Ready", "put b 1.2", "Reset", "put b 1.2", "Ready", "invalid"]
    assert [(a["list"], a.get("from")) for a in asked] == [("true", None), ("true", None), ("true", "c2")]
    out, _ = watch_of(event("ready", {}) + event("gap", {"start": "p/", "end": "p0", "reason": "trimmed"}, "c9") + event("end", {"code": "invalid"}))
    assert out == ["Ready", Gap("p/", "p0", "trimmed", "c9"), "invalid"]


def test_events_are_read_from_any_pieces():
    text = "event: a\r\ndata: 1\r\n\r\ndata:2\rdata: ü\r\rid: x\ndata\n\n"
    whole = Parser().push(text.encode())
    assert whole == [("a", "1", None), ("", "2\nü", None), ("", "", "x")]
    parser = Parser()
    assert [e for b in text.encode() for e in parser.push(bytes([b]))] == whole


def test_a_lock_that_cannot_be_renewed_is_lost_in_time():
    def answer(request, _):
        if request.method == "POST":
            return httpx.Response(200, json={"id": "00", "fence": 1, "version": "1.1", "ttl": "3s"})
        raise httpx.ConnectError("broken")

    db, requests = scripted("http://a", answer)
    begin = time.monotonic()
    lock = db.lock("l", 3)
    assert lock.fence == (1 << 40) + 1
    assert lock.wait_lost(30) and time.monotonic() - begin >= 2.9
    assert any(r.method == "PUT" for r in requests)
