// Everything a program does with OpenAI's library for Node, told as JSON.

import OpenAI from "openai";

const { ADDRESS, LIMITED_ADDRESS, KEY, POOR_KEY, LIMITED_KEY } = process.env;
const MODEL = "starter";
const ENCODER = "all-minilm-l6-v2";
const TEXTS = process.env.TEXTS.split("|");
const PROMPT = "Once upon a time";
const MESSAGES = [{ role: "user", content: "Tell me a story about a lighthouse." }];
const LONG = [{ role: "user", content: "Tell me a story. ".repeat(1000) }];
const GREEDY = { model: MODEL, temperature: 0, max_tokens: 40 };
const RESPONSE = { model: MODEL, input: MESSAGES, temperature: 0, max_output_tokens: 40 };
const WITH_USAGE = { stream: true, stream_options: { include_usage: true } };
const WEATHER = {
  type: "function",
  function: {
    name: "get_weather",
    parameters: {
      type: "object",
      properties: { city: { type: "string", maxLength: 20 } },
      required: ["city"],
      additionalProperties: false,
    },
  },
};
const FORM = {
  type: "json_schema",
  json_schema: {
    name: "answer",
    strict: true,
    schema: {
      type: "object",
      properties: { ready: { type: "boolean" }, colour: { enum: ["red", "green"] } },
      required: ["ready", "colour"],
      additionalProperties: false,
    },
  },
};

async function main() {
  const client = new OpenAI({ baseURL: `${ADDRESS}/v1`, apiKey: KEY, maxRetries: 0 });
  const models = [];
  for await (const model of client.models.list()) models.push(model.id);
  const report = {
    models,
    model: (await client.models.retrieve(MODEL)).id,
    answers: {
      chat: await chat(client),
      "streamed chat": await streamedChat(client),
      completion: await completion(client),
      "streamed completion": await streamedCompletion(client),
      response: toldResponse(await client.responses.create(RESPONSE)),
      "streamed response": await streamedResponse(client),
    },
    calls: { whole: await call(client), streamed: await streamedCall(client) },
    form: await form(client),
    logprobs: { chat: await chatLogprobs(client), completion: await completionLogprobs(client) },
    embeddings: await embeddings(client),
    errors: await errors(client),
    waited_s: await waitAsTold(),
    left: await leave(client),
  };
  console.log(JSON.stringify(report));
}

async function chat(client) {
  const answer = await client.chat.completions.create({ messages: MESSAGES, ...GREEDY });
  const [choice] = answer.choices;
  return told(answer.id, choice.message.content, choice.finish_reason, answer.usage);
}

async function streamedChat(client) {
  const stream = await client.chat.completions.create({
    messages: MESSAGES,
    ...GREEDY,
    ...WITH_USAGE,
  });
  return gather(stream, (choice) => choice.delta.content);
}

async function completion(client) {
  const answer = await client.completions.create({ prompt: PROMPT, ...GREEDY });
  const [choice] = answer.choices;
  return told(answer.id, choice.text, choice.finish_reason, answer.usage);
}

async function streamedCompletion(client) {
  const stream = await client.completions.create({ prompt: PROMPT, ...GREEDY, ...WITH_USAGE });
  return gather(stream, (choice) => choice.text);
}

// Through the library's own accumulator.
async function streamedResponse(client) {
  const stream = client.responses.stream(RESPONSE);
  let text = "";
  stream.on("response.output_text.delta", (event) => (text += event.delta));
  const made = await stream.finalResponse();
  return { ...toldResponse(made), text };
}

function toldResponse(made) {
  const { input_tokens, output_tokens } = made.usage;
  return {
    id: made.id,
    text: made.output_text,
    finish_reason: made.incomplete_details?.reason,
    usage: [input_tokens, output_tokens],
  };
}

async function gather(stream, textOf) {
  let [id, text, reason, usage] = ["", "", null, null];
  for await (const chunk of stream) {
    id = chunk.id;
    usage = chunk.usage ?? usage;
    for (const choice of chunk.choices) {
      text += textOf(choice) ?? "";
      reason = choice.finish_reason ?? reason;
    }
  }
  return told(id, text, reason, usage);
}

function told(id, text, finish_reason, usage) {
  return { id, text, finish_reason, usage: [usage.prompt_tokens, usage.completion_tokens] };
}

// A call, then the answer to what it found.
async function call(client) {
  const asked = [{ role: "user", content: "What is the weather in Bern?" }];
  const first = await client.chat.completions.create({
    model: MODEL,
    messages: asked,
    tools: [WEATHER],
    tool_choice: "required",
  });
  const { message, finish_reason } = first.choices[0];
  const [made] = message.tool_calls;
  const found = { role: "tool", tool_call_id: made.id, content: "sunny" };
  const second = await client.chat.completions.create({
    model: MODEL,
    messages: [...asked, message, found],
    tools: [WEATHER],
    max_tokens: 20,
  });
  return { ...spelt(made), finish_reason, then: second.choices[0].message.role };
}

// Through the library's own accumulator.
async function streamedCall(client) {
  const runner = client.chat.completions.stream({
    model: MODEL,
    messages: [{ role: "user", content: "What is the weather in Bern?" }],
    tools: [WEATHER],
    tool_choice: { type: "function", function: { name: "get_weather" } },
  });
  const { message, finish_reason } = (await runner.finalChatCompletion()).choices[0];
  return { ...spelt(message.tool_calls[0]), finish_reason };
}

function spelt(made) {
  return { name: made.function.name, arguments: JSON.parse(made.function.arguments) };
}

async function form(client) {
  const answer = await client.chat.completions.create({
    model: MODEL,
    messages: MESSAGES,
    response_format: FORM,
  });
  return JSON.parse(answer.choices[0].message.content);
}

async function chatLogprobs(client) {
  const answer = await client.chat.completions.create({
    messages: MESSAGES,
    logprobs: true,
    top_logprobs: 3,
    ...GREEDY,
  });
  const [choice] = answer.choices;
  const entries = choice.logprobs.content;
  return {
    text: choice.message.content,
    tokens: entries.map((entry) => entry.token),
    logprobs: entries.map((entry) => entry.logprob),
    best: entries.map((entry) => entry.top_logprobs[0].logprob),
  };
}

async function completionLogprobs(client) {
  const answer = await client.completions.create({ prompt: PROMPT, logprobs: 3, ...GREEDY });
  const [{ text, logprobs }] = answer.choices;
  return {
    text,
    tokens: logprobs.tokens,
    logprobs: logprobs.token_logprobs,
    best: logprobs.top_logprobs.map((top) => Math.max(...Object.values(top))),
  };
}

async function embeddings(client) {
  const answer = await client.embeddings.create({ model: ENCODER, input: TEXTS });
  const short = await client.embeddings.create({ model: ENCODER, input: TEXTS, dimensions: 8 });
  return {
    vectors: answer.data.map((each) => each.embedding),
    tokens: answer.usage.prompt_tokens,
    short: short.data.map((each) => each.embedding),
  };
}

async function errors(client) {
  const limited = new OpenAI({
    baseURL: `${LIMITED_ADDRESS}/v1`,
    apiKey: LIMITED_KEY,
    maxRetries: 0,
  });
  const poor = client.withOptions({ apiKey: POOR_KEY });
  const wrong = client.withOptions({ apiKey: "sk-wrong" });
  const ask = { model: MODEL, messages: MESSAGES };
  const chats = client.chat.completions;
  return {
    401: await caught(() => wrong.models.list()),
    404: await caught(() => chats.create({ ...ask, model: "gpt-9" })),
    400: await caught(() => chats.create({ ...ask, temperature: 3 })),
    "too long": await caught(() => chats.create({ ...ask, messages: LONG })),
    402: await caught(() => poor.chat.completions.create({ ...ask, max_tokens: 1000 })),
    429: await caught(async () => {
      for (let i = 0; i < 100; i++) {
        await limited.chat.completions.create({ ...ask, max_tokens: 1 });
      }
    }),
  };
}

async function caught(act) {
  try {
    await act();
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    return {
      class: error.constructor.name,
      status: error.status,
      code: error.code,
      param: error.param,
      request_id: error.requestID,
    };
  }
  throw new Error("nothing was thrown");
}

// The limit is used up; the library waits for as long as Retry-After says, and succeeds.
async function waitAsTold() {
  const client = new OpenAI({
    baseURL: `${LIMITED_ADDRESS}/v1`,
    apiKey: LIMITED_KEY,
    maxRetries: 1,
  });
  const began = performance.now();
  await client.chat.completions.create({ model: MODEL, messages: MESSAGES, max_tokens: 1 });
  return (performance.now() - began) / 1000;
}

// Aborts a stream after its first words.
async function leave(client) {
  const stream = await client.chat.completions.create({
    model: MODEL,
    messages: MESSAGES,
    stream: true,
    max_tokens: 1500,
    ignore_eos: true,
  });
  for await (const chunk of stream) {
    if (chunk.choices[0]?.delta.content) {
      stream.controller.abort();
      return chunk.id;
    }
  }
  throw new Error("the stream ended");
}

await main();
