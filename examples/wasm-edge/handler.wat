;; A handler of pages: GET answers with the value of the page's key, POST counts a visit and answers with the count.
;; Its whole world is what the runtime lends it, in module "edgehold". Lengths are in bytes; a negative result is no length:
;; -1 there is no such key, -2 the store did not answer.
;;   wat2wasm handler.wat
(module
  (import "edgehold" "request" (func $request (param $to i32) (param $room i32) (result i32))) ;; the path, without its first slash
  (import "edgehold" "get" (func $get (param $key i32) (param $len i32) (param $to i32) (param $room i32) (result i32)))
  (import "edgehold" "add" (func $add (param $key i32) (param $len i32) (param $delta i64) (param $to i32) (param $room i32) (result i32)))
  (import "edgehold" "respond" (func $respond (param $from i32) (param $len i32)))

  (memory (export "memory") 2)
  (data (i32.const 0) "us-east/pages/")     ;; 14 bytes; the path comes behind it
  (data (i32.const 1024) "us-east/visits/") ;; 15 bytes
  (data (i32.const 2048) "no such page\n")  ;; 13 bytes

  ;; handle answers one request: method 0 is GET, 1 is POST. It returns the status.
  (func (export "handle") (param $method i32) (result i32)
    (local $n i32)
    (if (result i32) (local.get $method)
      (then
        (local.set $n (call $request (i32.const 1039) (i32.const 512)))
        (call $answer (call $add (i32.const 1024) (i32.add (i32.const 15) (local.get $n)) (i64.const 1) (i32.const 4096) (i32.const 32))))
      (else
        (local.set $n (call $request (i32.const 14) (i32.const 512)))
        (call $answer (call $get (i32.const 0) (i32.add (i32.const 14) (local.get $n)) (i32.const 4096) (i32.const 65536))))))

  ;; answer responds with $n bytes from 4096, and returns the status.
  (func $answer (param $n i32) (result i32)
    (if (i32.ge_s (local.get $n) (i32.const 0))
      (then
        (call $respond (i32.const 4096) (local.get $n))
        (return (i32.const 200))))
    (if (i32.eq (local.get $n) (i32.const -1))
      (then
        (call $respond (i32.const 2048) (i32.const 13))
        (return (i32.const 404))))
    (i32.const 503)))
