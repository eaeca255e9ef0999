#!/bin/sh
# Asks a deployed model one question with curl.
#
#     sh examples/chat.sh http://127.0.0.1:4020/vm/<item hash>/v1
set -eu

curl --fail-with-body --silent --show-error "${1%/}/chat/completions" \
  -H "Content-Type: application/json" \
  -H "Authorization: Bearer any" \
  -d '{
    "model": "openhermes-2.5",
    "messages": [
      { "role": "system", "content": "You are a helpful assistant." },
      { "role": "user", "content": "Say this is a test" }
    ],
    "max_tokens": 128
  }'
echo
