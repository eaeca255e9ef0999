"""OpenAI's client for Python, driven by lines of JSON.

In:  {"base_url", "api": "chat" or "responses", "do": "chat", "stream", "call_tool" or "structured",
      "common": what every request has, "question", …}
Out: {"result"} or {"error"}
"""

import json
import sys
import traceback

import openai
import pydantic


class Person(pydantic.BaseModel):
    name: str
    age: int


class Api:
    def __init__(self, base_url, common):
        self.client = openai.OpenAI(base_url=base_url, api_key="any", max_retries=0)
        self.common = common


class Chat(Api):
    """Chat completions."""

    def ask(self, question):
        return {**self.common, "messages": [{"role": "user", "content": question}]}

    def chat(self, question):
        return self.client.chat.completions.create(**self.ask(question)).choices[0].message.content

    def stream(self, question):
        chunks = self.client.chat.completions.create(**self.ask(question), stream=True)
        return [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]

    def call_tool(self, question, result, stream, weather):
        body = {**self.ask(question), "tools": [{"type": "function", "function": weather}]}
        message = self.message(body, stream)
        results = [{"role": "tool", "tool_call_id": call.id, "content": result} for call in message.tool_calls]
        asked = [json.loads(call.function.arguments)["city"] for call in message.tool_calls]
        earlier = [*body["messages"], message.to_dict()]
        return {"asked": asked, "answer": self.message({**body, "messages": earlier + results}, stream).content}

    def message(self, body, stream):
        if not stream:
            return self.client.chat.completions.create(**body).choices[0].message
        with self.client.chat.completions.stream(**body) as events:
            return events.get_final_completion().choices[0].message

    def structured(self, question):
        answer = self.client.beta.chat.completions.parse(**self.ask(question), response_format=Person)
        return answer.choices[0].message.parsed.model_dump()


class Responses(Api):
    """Responses."""

    def ask(self, given):
        return {**self.common, "input": given}

    def chat(self, question):
        return self.client.responses.create(**self.ask(question)).output_text

    def stream(self, question):
        events = self.client.responses.create(**self.ask(question), stream=True)
        return [event.delta for event in events if event.type == "response.output_text.delta"]

    def call_tool(self, question, result, stream, weather):
        tools = [{"type": "function", **weather}]
        first = self.response({**self.ask(question), "tools": tools}, stream)
        calls = [item for item in first.output if item.type == "function_call"]
        outputs = [{"type": "function_call_output", "call_id": call.call_id, "output": result} for call in calls]
        body = {**self.ask(outputs), "tools": tools, "previous_response_id": first.id}
        asked = [json.loads(call.arguments)["city"] for call in calls]
        return {"asked": asked, "answer": self.response(body, stream).output_text}

    def response(self, body, stream):
        if not stream:
            return self.client.responses.create(**body)
        with self.client.responses.stream(**body) as events:
            return events.get_final_response()

    def structured(self, question):
        return self.client.responses.parse(**self.ask(question), text_format=Person).output_parsed.model_dump()


APIS = {"chat": Chat, "responses": Responses}

for line in sys.stdin:
    command = json.loads(line)
    try:
        used = APIS[command.pop("api")](command.pop("base_url"), command.pop("common"))
        answer = {"result": getattr(used, command.pop("do"))(**command)}
    except Exception:
        answer = {"error": traceback.format_exc()}
    print(json.dumps(answer), flush=True)
