// Everything a program does with Vercel's AI SDK, told as JSON.
//
// Its provider for servers like this one writes to chat and completions, its provider for OpenAI
// to responses as well.

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import {
  APICallError,
  embedMany,
  generateObject,
  generateText,
  jsonSchema,
  Output,
  stepCountIs,
  streamObject,
  streamText,
  tool,
} from "ai";
import assert from "node:assert/strict";

const { ADDRESS, LIMITED_ADDRESS, KEY, POOR_KEY, LIMITED_KEY } = process.env;
const MODEL = "starter";
const ENCODER = "all-minilm-l6-v2";
const TEXTS = process.env.TEXTS.split("|");
const PROMPT = "Tell me a story about a lighthouse.";
const LONG = "Tell me a story. ".repeat(1000);
const GREEDY = { prompt: PROMPT, temperature: 0, maxOutputTokens: 40, maxRetries: 0 };
const CITY = jsonSchema({
  type: "object",
  properties: { city: { type: "string", maxLength: 20 } },
  required: ["city"],
  additionalProperties: false,
});
const FORM = jsonSchema({
  type: "object",
  properties: { ready: { type: "boolean" }, colour: { enum: ["red", "green"] } },
  required: ["ready", "colour"],
  additionalProperties: false,
});
// The second model answers what the tool found.
const ASKED = {
  prompt: "What is the weather in Bern?",
  tools: { get_weather: tool({ inputSchema: CITY, execute: () => ({ sky: "sunny" }) }) },
  stopWhen: stepCountIs(2),
  maxRetries: 0,
  prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber ? "none" : "required" }),
};

function compatible(baseAddress, apiKey) {
  return createOpenAICompatible({
    name: "parlance",
    baseURL: `${baseAddress}/v1`,
    apiKey,
    includeUsage: true,
    supportsStructuredOutputs: true,
  });
}

async function main() {
  const here = compatible(ADDRESS, KEY);
  const openai = createOpenAI({ baseURL: `${ADDRESS}/v1`, apiKey: KEY });
  const report = {
    answers: {
      ...(await answers("chat", here(MODEL))),
      ...(await answers("completion", here.completionModel(MODEL))),
      ...(await answers("chat of openai", openai.chat(MODEL))),
      ...(await answers("completion of openai", openai.completion(MODEL))),
      ...(await answers("response", openai(MODEL))),
    },
    calls: {
      whole: called(await generateText({ model: here(MODEL), ...ASKED })),
      streamed: await streamedCall(here(MODEL)),
      "whole response": called(await generateText({ model: openai(MODEL), ...ASKED })),
      "streamed response": await streamedCall(openai(MODEL)),
    },
    form: await form([here(MODEL), openai.chat(MODEL), openai(MODEL)]),
    logprobs: { chat: await logprobs(openai) },
    embeddings: await embeddings(here.embeddingModel(ENCODER), openai.embedding(ENCODER)),
    errors: await errors(here),
    waited_s: await waitAsTold(),
    left: await leave(here(MODEL)),
  };
  console.log(JSON.stringify(report));
}

async function answers(kind, model) {
  const whole = await generateText({ model, ...GREEDY });
  const streamed = streamText({ model, ...GREEDY });
  let text = "";
  for await (const piece of streamed.textStream) text += piece;
  return {
    [kind]: told(whole.response, whole.text, whole.finishReason, whole.usage),
    [`streamed ${kind}`]: told(
      await streamed.response,
      text,
      await streamed.finishReason,
      await streamed.usage,
    ),
  };
}

function told({ id }, text, finish_reason, { inputTokens, outputTokens }) {
  return { id, text, finish_reason, usage: [inputTokens, outputTokens] };
}

async function streamedCall(model) {
  const stream = streamText({ model, ...ASKED });
  await stream.consumeStream({ onError: (error) => assert.fail(error) });
  return called({ steps: await stream.steps });
}

// A call, then the answer to what its tool found.
function called({ steps }) {
  const [first, second] = steps;
  const [made] = first.toolCalls;
  assert.deepEqual(first.toolResults[0].output, { sky: "sunny" });
  return {
    name: made.toolName,
    arguments: made.input,
    finish_reason: first.finishReason.replace("-", "_"),
    then: second.response.messages.at(-1).role,
  };
}

// In each of the library's ways, of which one is told; beside tools, too.
async function form(models) {
  const output = Output.object({ schema: FORM });
  const forms = [];
  for (const model of models) {
    const asked = { model, prompt: PROMPT, maxRetries: 0 };
    forms.push((await generateObject({ ...asked, schema: FORM })).object);
    forms.push((await generateText({ ...asked, output })).output);
    const object = streamObject({ ...asked, schema: FORM });
    for await (const _ of object.partialObjectStream);
    forms.push(await object.object);
    const beside = { ...asked, output, tools: ASKED.tools, toolChoice: "none" };
    forms.push((await generateText(beside)).output);
    const streamed = streamText({ ...asked, output });
    for await (const _ of streamed.partialOutputStream);
    forms.push(await streamed.output);
  }
  for (const each of forms) assert.deepEqual(Object.keys(each), Object.keys(forms[0]));
  return forms.at(-1);
}

async function logprobs(openai) {
  const providerOptions = { openai: { logprobs: 3 } };
  const made = await generateText({ model: openai.chat(MODEL), ...GREEDY, providerOptions });
  const entries = made.providerMetadata.openai.logprobs;
  return {
    text: made.text,
    tokens: entries.map((entry) => entry.token),
    logprobs: entries.map((entry) => entry.logprob),
    best: entries.map((entry) => entry.top_logprobs[0].logprob),
  };
}

async function embeddings(model, openai) {
  const made = await embedMany({ model, values: TEXTS, maxRetries: 0 });
  const providerOptions = { openai: { dimensions: 8 } };
  const short = await embedMany({ model: openai, values: TEXTS, providerOptions });
  return { vectors: made.embeddings, tokens: made.usage.tokens, short: short.embeddings };
}

async function errors(here) {
  const ask = { model: here(MODEL), prompt: PROMPT, maxRetries: 0 };
  const poor = compatible(ADDRESS, POOR_KEY)(MODEL);
  const limited = { ...ask, model: compatible(LIMITED_ADDRESS, LIMITED_KEY)(MODEL) };
  const wrong = compatible(ADDRESS, "sk-wrong")(MODEL);
  return {
    401: await caught({ ...ask, model: wrong }),
    404: await caught({ ...ask, model: here("gpt-9") }),
    400: await caught({ ...ask, temperature: 3 }),
    "too long": await caught({ ...ask, prompt: LONG }),
    402: await caught({ ...ask, model: poor, maxOutputTokens: 1000 }),
    429: await caught({ ...limited, maxOutputTokens: 1 }, 100),
  };
}

// What the first refusal is, streamed and whole alike.
async function caught(asked, tries = 1) {
  let streamed;
  await streamText({ ...asked, onError: ({ error }) => (streamed = error) }).consumeStream();
  try {
    for (let i = 0; i < tries; i++) await generateText(asked);
  } catch (error) {
    if (!APICallError.isInstance(error)) throw error;
    if (tries === 1) assert.deepEqual(kept(streamed), kept(error));
    return { ...kept(error), request_id: error.responseHeaders["x-request-id"] };
  }
  throw new Error("nothing was thrown");
}

function kept({ name, statusCode, data, message }) {
  assert.equal(data.error.message, message);
  return { class: name, status: statusCode, code: data.error.code, param: data.error.param };
}

// The limit is used up; the library waits for as long as Retry-After says, and succeeds.
async function waitAsTold() {
  const model = compatible(LIMITED_ADDRESS, LIMITED_KEY)(MODEL);
  const began = performance.now();
  await generateText({ model, prompt: PROMPT, maxOutputTokens: 1, maxRetries: 1 });
  return (performance.now() - began) / 1000;
}

// Aborts a stream after its first words.
async function leave(model) {
  const patience = new AbortController();
  const stream = streamText({
    model,
    prompt: PROMPT,
    maxOutputTokens: 1500,
    providerOptions: { parlance: { ignore_eos: true } },
    abortSignal: patience.signal,
    includeRawChunks: true,
  });
  let id;
  for await (const part of stream.fullStream) {
    if (part.type === "raw") id = part.rawValue.id;
    if (part.type === "text-delta") patience.abort();
    if (part.type === "abort") return id;
  }
  throw new Error("the stream ended");
}

await main();
