#!/usr/bin/env bash
# Printed by `make run`, before Floe starts.
cat <<'TEXT'

  Floe starts below; end it with Ctrl-C. In another terminal, try:

    curl -X POST localhost:8080/topics -H 'Content-Type: application/json' -d '{"name":"orders"}'
    curl -X POST localhost:8080/topics/orders/records -H 'Content-Type: application/json' \
         -d '{"key":"o-1","value":{"amount":99.5}}'
    curl 'localhost:8080/topics/orders/records?partition=0&offset=earliest'
    target/release/floe consume orders --follow
    curl -X POST 'localhost:8080/v1/event?wait=stored' -H 'Content-Type: application/json' \
         -d '{"event_type":"login","user_id":"u1"}'      # into a table; http://localhost:8080/events/live shows it
    curl -X POST 'localhost:8080/chat/documents?id=README' -H 'Content-Type: text/markdown' --data-binary @README.md
                                                         # now ask: http://localhost:8080/chat
    target/release/floe load --rate 10000/min --duration 10s --topic load --verify

  Documents: http://localhost:8080/docs   Everything at once: examples/curl-tour.sh   A crash and back: make demo

TEXT
