"""Asks a deployed model one question with the `openai` package (pip install openai).

    python examples/chat.py http://127.0.0.1:4020/vm/<item hash>/v1/
"""

import sys

import openai

client = openai.OpenAI(
    base_url=sys.argv[1],
    api_key="any",  # programs are open unless their operator set keys
)

completion = client.chat.completions.create(
    model="openhermes-2.5",
    messages=[
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Say this is a test"},
    ],
    max_tokens=128,
)

print(completion.choices[0].message.content)
