#!/bin/sh
# A thin microphone: records, and sends to edgeser's network address for ever.
#
#   microphone.sh SERVER:7790 TOKEN-FILE CA.pem
#
# It needs arecord and openssl, nothing of edgeser. RECORD may be another program that writes raw
# 16 kHz mono s16le. What is said while the server is away is lost, and counts as time without sound.
set -u
[ $# = 3 ] || { echo "usage: $0 SERVER:PORT TOKEN-FILE CA.pem" >&2; exit 2; }
server=$1 token=$2 ca=$3
record=${RECORD:-arecord -q -t raw -f S16_LE -r 16000 -c 1}
[ -r "$ca" ] || { echo "$0: $ca cannot be read" >&2; exit 2; }
while :; do
    word=
    IFS= read -r word < "$token" || [ "$word" ] || {
        echo "$0: $token has no token that can be read" >&2
        exit 2
    }
    { printf '%s\n' "$word"; exec $record; } |
        openssl s_client -quiet -connect "$server" -verify_return_error \
            -CAfile "$ca" -verify_hostname "${server%:*}"
    sleep 2
done
