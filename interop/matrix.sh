#!/usr/bin/env bash
# Judges five servers in three languages by one suite, and keeps the matrix: the reference server in all
# its dialects, and the four independent ones of servers/. Run it where nothing else runs.
#
#     interop/matrix.sh [DIRECTORY]          (else reports/kept/interop)
#
# Into the directory go the pages for people: summary.md, matrix.html, badge.json.
# HARNESS names the program, else it is built. Exits like `harness conform`.
set -euo pipefail
cd "$(dirname "$0")/.."
directory=${1:-reports/kept/interop}

interop/setup
if [ -z "${HARNESS:-}" ]; then
    cargo build --release --locked --quiet
    HARNESS=target/release/harness
fi
python=target/interop/python/bin/python

work=$(mktemp -d)
servers=()
trap 'kill "${servers[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT
# What the servers read from; they end with this script, however it ends.
mkfifo "$work/input"
exec 9<>"$work/input"

# Starts a server, $1 of the log's name, and puts its address into `url`.
start() {
    local log=$work/$1
    shift
    "$@" <"$work/input" >"$log" 9>&- &
    servers+=($!)
    for _ in $(seq 100); do
        url=$(sed -n 's/^listening on \(ws:[^ ]*\).*/\1/p' "$log")
        [ -z "$url" ] || return 0
        sleep 0.1
    done
    printf 'this does not start: %s\n' "$*" >&2
    exit 3
}

timers=500ms/1500ms
targets=()
start reference "$HARNESS" serve --listen 127.0.0.1:0 --publish --admin --heartbeat "$timers" \
    --pusher-app subscription_count    # as its profile says
for dialect in native project rooms chat events pusher; do
    # It promises what it always does, under a name that says more than its address.
    printf 'profile: reference-rust\ndialect: %s\n' "$dialect" >"$work/$dialect.yaml"
    targets+=(--target "$work/$dialect.yaml=$url")
done
start events-node node interop/servers/events.mjs --publish --heartbeat 500ms/500ms
targets+=(--target "events-node=$url")
start rooms-node node interop/servers/rooms.mjs --heartbeat "$timers"
targets+=(--target "rooms-node=$url")
start chat-python "$python" interop/servers/chat.py --heartbeat "$timers"
targets+=(--target "chat-python=$url")
start native-python "$python" interop/servers/native.py --heartbeat "$timers"
targets+=(--target "native-python=$url")

status=0
"$HARNESS" conform "${targets[@]}" --heartbeat "$timers" --jobs 4 --report "$work/report" || status=$?
mkdir -p "$directory"
cp "$work"/report/{summary.md,matrix.html,badge.json} "$directory"
exit "$status"
