#!/usr/bin/env bash
# A tour of every HTTP door with curl. Each step says what it does, shows the answer, and checks it; the exit code is
# that of the whole tour.
#
#     floe serve --ephemeral &
#     examples/curl-tour.sh http://localhost:8080
#
# Needs bash and curl. Topics of an earlier tour are deleted first, so it can be taken again.
set -uo pipefail

base=${1:-http://localhost:8080}
failures=0
body=$(mktemp)
headers=$(mktemp)
trap 'rm -f "$body" "$headers"' EXIT

# call METHOD PATH [curl's own arguments]: leaves the answer in $body and $headers, its status in $status.
call() {
  local method=$1 path=$2
  shift 2
  printf '\n$ curl -X %s %s%s\n' "$method" "$base" "$path"
  status=$(curl --silent --show-error --max-time 30 --output "$body" --dump-header "$headers" \
    --write-out '%{http_code}' --request "$method" "$@" "$base$path") || status=000
  printf '%s  ' "$status"
  head -c 600 "$body"
  printf '\n'
}

# expect STATUS [TEXT…]: the last answer has this status, and each text in its body or its headers.
expect() {
  local wanted=$1 text
  shift
  if [ "$status" != "$wanted" ]; then
    printf '   OFF: the status is %s, expected %s\n' "$status" "$wanted"
    failures=$((failures + 1))
  fi
  for text in "$@"; do
    if ! grep --quiet --fixed-strings -- "$text" "$body" "$headers"; then
      printf '   OFF: the answer has no %s\n' "$text"
      failures=$((failures + 1))
    fi
  done
}

heading() { printf '\n=== %s\n' "$1"; }

json=(--header 'Content-Type: application/json')

for topic in tour orders news tour-events; do
  curl --silent --output /dev/null --request DELETE "$base/topics/$topic"
done

heading 'How is it?'
call GET /health
expect 200 '"status"' '"uptime_sec"' '"topics"' '"subscribers"'
call GET /health/live
expect 200
call GET /health/ready
expect 200

heading 'Topics (document 004, with partitions and settings of its own)'
call POST /topics "${json[@]}" --data '{"name": "orders"}'
expect 201 '"status":"created"' '"topic":"orders"'
call POST /topics "${json[@]}" --data '{"name": "orders"}'
expect 409 'application/problem+json' '"code":"TOPIC_EXISTS"'
call POST /topics "${json[@]}" --data '{"name": "tour", "partitions": 3, "config": {"retention.ms": "3600000"}}'
expect 201 '"partitions":3'
call GET /topics
expect 200 '"name":"orders"' '"subscribers":0'
call GET /topics/tour
expect 200 '"retention.ms":"3600000"'
call PATCH /topics/tour "${json[@]}" --data '{"partitions": 4}'
expect 200
call GET /stats
expect 200 '"orders"' '"messages":0'

heading 'Records: one, a batch, lines, raw bytes; then read them'
call POST /topics/tour/records "${json[@]}" --data '{"key": "k1", "value": {"n": 1}, "headers": {"source": "tour"}}'
expect 201 '"topic":"tour"' '"partition"' '"offset":0'
call POST /topics/tour/records "${json[@]}" --data '{"records": [{"key": "k1", "value": 2}, {"key": "k2", "value": "three"}]}'
expect 201 '"offsets"'
call POST /topics/tour/records --header 'Content-Type: application/x-ndjson' \
  --data-binary $'{"key": "k1", "value": 4}\n{"key": "k1", "value": 5}\n'
expect 201 '"offsets"'
call POST '/topics/tour/records?key=k1' --header 'Content-Type: text/plain' --data 'not JSON at all'
expect 201 '"offset"'
call POST /topics/tour/records "${json[@]}" --header 'Idempotency-Key: tour-1' --data '{"key": "once", "value": 6}'
expect 201
call POST /topics/tour/records "${json[@]}" --header 'Idempotency-Key: tour-1' --data '{"key": "once", "value": 6}'
expect 201 'dempotency-'
call POST /topics/tour/records "${json[@]}" --header 'Idempotency-Key: tour-1' --data '{"key": "once", "value": 7}'
expect 409 '"code":"CONFLICT"'
call GET /topics/tour/records
expect 200 '"records"' '"value":{"n": 1}' '"source":"tour"' '"next"'
call GET /topics/tour/records --header 'Accept: application/x-ndjson'
expect 200 '"value":"three"' '"$base64"'
call GET '/topics/tour/records?limt=1'
expect 400 '"code":"BAD_REQUEST"' 'limt'

heading 'Live by SSE: from the earliest record on, until the first has come'
printf '\n$ curl -N %s/topics/tour/stream?from=earliest\n' "$base"
sed '/^data:/q' < <(curl --silent --no-buffer --max-time 10 "$base/topics/tour/stream?from=earliest") >"$body"
head -c 400 "$body"
status=200
: >"$headers"
expect 200 'id:' 'data:' '"value":{"n": 1}'

heading 'A consumer group without a session: poll, acknowledge, move back'
call POST /groups/tour-group/poll "${json[@]}" --data '{"topics": ["tour"], "max": 3}'
expect 200 '"records"' '"delivery"'
delivery=$(sed -n 's/.*"delivery":"\([^"]*\)".*/\1/p' "$body")
call POST /groups/tour-group/ack "${json[@]}" --data "{\"delivery\": \"$delivery\"}"
expect 200
call GET /groups/tour-group
expect 200 '"committed"' '"lag"'
call GET /groups
expect 200 'tour-group'
call POST /groups/tour-group/offsets "${json[@]}" --data '{"topic": "tour", "to": "earliest"}'
expect 200
call DELETE /groups/tour-group
expect 204

heading 'Document 000: a Kafka-like pub/sub over HTTP'
call POST /create_topic/news/3
expect 201 '"status":"created"' '"partitions":3'
call POST /subscribe/john@example.com/news
expect 200 '"status":"subscribed"' '"positions"'
call POST /write/news "${json[@]}" --data '{"key": "user123", "value": "Breaking news update"}'
expect 201 '"status":"written"' '"key":"user123"'
call GET /read/john@example.com/news/user123
expect 200 'Breaking news update' '"next_offset"'
call GET /read/john@example.com/news/user123
expect 200 '"messages":[]'
call GET /read/jane@example.com/news/user123
expect 403 '"code":"NOT_SUBSCRIBED"'
call POST /unsubscribe/john@example.com/news
expect 200 '"status":"unsubscribed"'
call DELETE /delete_topic/news
expect 200 '"status":"deleted"'

heading 'Document 001: ingestion'
call POST /topics "${json[@]}" --data '{"name": "tour-events"}'
expect 201
call POST '/register_event?topic=tour-events' "${json[@]}" \
  --data '{"event_type": "purchase", "user_id": "u1", "data": {"amount": 12.5}}'
expect 202 '"status":"accepted"' '"event_id"' '"topic":"tour-events"'
call POST '/register_event?topic=tour-events' "${json[@]}" --data 'not json'
expect 400 '"code":"BAD_REQUEST"'
call GET '/get_status?topic=tour-events'
expect 200 '"accepted":1' '"partitions"' '"lag"'

heading 'Document 004: the WebSocket takes an upgrade (its clients are in python/ and javascript/)'
printf '\n$ curl -H "Upgrade: websocket" … %s/ws\n' "$base"
curl --silent --max-time 1 --output /dev/null --dump-header "$headers" \
  --header 'Connection: Upgrade' --header 'Upgrade: websocket' \
  --header 'Sec-WebSocket-Version: 13' --header 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' "$base/ws"
head -n 1 "$headers"
: >"$body"
status=$(sed -n '1s/^HTTP[^ ]* \([0-9]*\).*/\1/p' "$headers")
expect 101 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='

heading 'What it says of itself'
call GET /metrics
expect 200 'floe_'
call GET /openapi.json
expect 200 '"openapi":"3.1' '/register_event'
call GET /docs/ --compressed
expect 200 '<html'
call GET /redoc
expect 200 '<html'
call GET /
expect 200 '<html'
call GET /no/such/path
expect 404 'application/problem+json'
call PUT /topics
expect 405 'llow:'

heading 'And away again'
call DELETE /topics/orders
expect 200 '"status":"deleted"' '"topic":"orders"'
call DELETE /topics/orders
expect 404 '"code":"TOPIC_NOT_FOUND"'
call DELETE /topics/tour
expect 200
call DELETE /topics/tour-events
expect 200

printf '\n'
if [ "$failures" -eq 0 ]; then
  echo 'The tour found everything as it should be.'
else
  echo "The tour found $failures things off."
  exit 1
fi
