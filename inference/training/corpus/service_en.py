# ruff: noqa: E501 - the corpus is prose: a template stays on one line
# fmt: off
"""Questions about this service and their answers, in English.

A topic is a set of ways to ask and of ways to answer; `asked_en.py` has more of both. Every answer states the
fact that its topic is about; `evaluate.py` looks for it.
"""

from inference.training.corpus.asked_en import FURTHER
from inference.training.corpus.topic import Topic, enlarged

_TOPICS = (
    Topic(
        "about",
        ("What is {S}?", "[Can you |Please |]tell me about {S}[.|]", "What does {S} do?", "Explain {S} [in a few words|briefly|to me].", "[Hi, |Hello, |]what is this [service|site|website]?", "What is this?", "What can I do [here|with {S}]?", "I am new here. What is {S}?", "What kind of service is {S}?", "Describe this service."),
        ("{S} is a language-model service [in a box|that you can run yourself]: a [web |]playground, API keys, prepaid billing and an OpenAI-compatible API, with its own [inference |]engine behind [them|all of them].",
         "{S} lets you [talk to|use] language models [in a playground|in the browser] and [through|over] an OpenAI-compatible API. You [create|make] keys [in the portal|yourself], top up credit, and [see|can see] what every request cost.",
         "[It|{S}] is a service for language models. You can chat in the playground, call the API with your own key, and pay only for the tokens you use. [The engine that answers runs on the same machine|It brings its own inference engine]."),
        ("playground", "API"),
    ),
    Topic(
        "key",
        ("How do I get an API key?", "How [can|do] I create [an API key|a key|a new key]?", "Where [do I find|can I get|are] [my API keys|API keys|the keys]?", "I need an API key[.|. How?|. What should I do?]", "[Can you help me |Help me ]get a key[?|.]", "[Give me an API key|I want an API key].", "how to make an api key", "Where can I make a key for the API?", "What do I need to use the API?", "How do I get access to the API?"),
        ("Open [the portal|your portal] and go to Keys, [then choose|and press] \"Create key\". The key begins with sk-prl- and is shown only once, so [copy it|store it in a safe place] [right away|at once].",
         "[Sign in|After signing in], open Keys in the portal and create [one|a new key]. It starts with sk-prl-. [It is shown once only|You see it only once], so keep it [safe|secret].",
         "You create API keys in the portal, under Keys. A key starts with sk-prl- and is shown once; [save it|copy it] before you close the page."),
        ("Keys",),
    ),
    Topic(
        "lost-key",
        ("I lost my API key. [What now?|What can I do?|Can I see it again?]", "Can I see my key again?", "Can you show me my API key[ again|]?", "I forgot my key[.|. Help!]", "I did not copy my key."),
        ("A key is shown only once, so it cannot be shown again. [Revoke the old key|Revoke it] in the portal under Keys and create a new one.",
         "No one can show [it|a key] again: only a fingerprint of it is stored. Create a new key under Keys and revoke the [lost|old] one."),
        ("new",),
    ),
    Topic(
        "revoke",
        ("How do I revoke a key?", "How can I [delete|remove|disable] [a key|an API key|my key]?", "My key [was leaked|is public|was stolen][.|. What should I do?| What now?]", "[Someone else has|Somebody saw] my key. What [should|can] I do?", "revoke key"),
        ("Open Keys in the portal, find the key and [press|choose] Revoke. It stops working [within seconds|at once]. Then create a new [key|one].",
         "[Go to|Open] the portal, choose Keys, and revoke it. [Requests with that key are refused from then on|The key is refused from then on], and you can create a new one."),
        ("Keys",),
    ),
    Topic(
        "top-up",
        ("How do I top up?", "How [do|can] I [add credit|add money|buy credit|pay|top up my account|top up my balance]?", "How do I pay[ for {S}|]?", "My balance is [low|empty|zero]. What [now|should I do]?", "Where can I [buy|add] credit?", "[Can|May] I pay by card?", "How does payment work?", "I have no credit left[.|. What now?]"),
        ("Open Billing in the portal and [choose|press] \"Top up\". You pay by card through Stripe, and the credit is [there|on your balance] as soon as the payment [has arrived|is confirmed].",
         "Credit is prepaid. In the portal, open Billing, choose an amount and pay by card; Stripe handles the payment.",
         "Go to Billing in the portal, choose an amount and pay with your card through Stripe. [Your balance grows when the payment is confirmed|You can also switch on automatic top-up there]."),
        ("Billing",),
    ),
    Topic(
        "price",
        ("What does it cost?", "How much does [{S}|it|this|the API] cost?", "What are the prices?", "Is [{S}|it|this] free?", "How [is|are] [usage|requests] billed?", "How much is [a|one] request?", "What do I pay for?", "How do the prices work?"),
        ("You pay per token. Each model has a price per million [tokens|input tokens and per million output tokens]; [the models page lists them|you find them on the models page]. [There is no monthly fee|You pay only for what you use].",
         "Prices are per million tokens and differ [from model to model|by model]; input and output have their own price. [See the models page|The models page shows them]. The number you see is the number you are billed.",
         "[It depends on the model|That depends on the model and the length of the text]: prices are given per million tokens, for input and for output, on the models page. Credit is prepaid, so there are no surprises."),
        ("million",),
    ),
    Topic(
        "negative",
        ("Can my balance [go below zero|become negative]?", "Can I [spend more than I have|get into debt|owe money]?", "What happens when my credit [runs out|is used up|ends]?", "What if [I run out of credit|my balance is too low]?"),
        ("Your balance can never go below zero. When [the credit is not enough|there is too little credit], the request is refused with [an error|error 402], and nothing is billed.",
         "No debt is possible: the balance never goes below zero. A request that would cost more than you have is refused [before it starts|with error 402]; [then|after that] you can top up under Billing."),
        ("below zero",),
    ),
    Topic(
        "curl",
        ("How do I call the API with curl?", "[Show|Give] me a curl example.", "curl example[, please|]", "How can I use curl[ with {S}|]?", "How do I send a request from the [command line|terminal]?", "[Write|Please write] a curl command for the API."),
        ("[Use this command|Like this|Here is an example]:\n\n```bash\ncurl http://localhost:8000/v1/chat/completions \\\n  -H \"Authorization: Bearer sk-prl-...\" \\\n  -H \"Content-Type: application/json\" \\\n  -d '{\"model\": \"starter\", \"messages\": <<{\"role\": \"user\", \"content\": \"Hello\"}>>}'\n```\n\n[Put your own key in place of|Replace] sk-prl-...[.| with your own key.]",),
        ("curl http://localhost:8000/v1",),
    ),
    Topic(
        "python",
        ("How do I call the API [with|from|in] Python?", "[Show|Give] me a Python example[.| for the API.]", "How can I use [the OpenAI library|the Python client|Python] with {S}?", "Python example for the API[, please|]", "[Write|Please write] Python code that calls the API.", "Can I use the OpenAI client?"),
        ("[Yes. |]Use the openai package [with|and set] your own base URL and key:\n\n```python\nfrom openai import OpenAI\n\nclient = OpenAI(base_url=\"http://localhost:8000/v1\", api_key=\"sk-prl-...\")\nanswer = client.chat.completions.create(\n    model=\"starter\",\n    messages=<<{\"role\": \"user\", \"content\": \"Hello\"}>>,\n)\nprint(answer.choices<<0>>.message.content)\n```",),
        ("base_url",),
    ),
    Topic(
        "base-url",
        ("What is the base URL?", "Which [base URL|address] [do I use|should I use|does the API have]?", "What is the address of the API?", "Where is the API?", "Is the API OpenAI-compatible?", "[Is it compatible with OpenAI|Does it work with OpenAI clients]?"),
        ("The base URL is http://localhost:8000/v1 [on this machine|when you run it yourself]. The API is OpenAI-compatible, so [most|existing] clients work when you change the base URL and the key.",
         "The API is OpenAI-compatible. Use http://localhost:8000/v1 as the base URL, with a key that begins with sk-prl-."),
        ("/v1",),
    ),
    Topic(
        "streaming",
        ("What is streaming?", "How [does streaming work|do I stream an answer|can I stream answers]?", "What does stream=true mean?", "Explain streaming.", "Can I [see|get] the answer [word by word|token by token|while it is written]?"),
        ("Streaming means that you [see|get] the answer token by token while it is [written|generated], instead of waiting for the end. In the API, set \"stream\": true and read server-sent events; the playground uses a websocket.",
         "With streaming, [each piece of|parts of] the answer [arrive|reach you] as soon as they are generated. The playground streams over a websocket, the API with server-sent events when you set \"stream\": true."),
        ("stream",),
    ),
    Topic(
        "token",
        ("What is a token?", "What are tokens?", "Explain [tokens|what a token is][ to me|].", "How long is a token?", "What does token mean?", "How many words is a token?"),
        ("A token is a small piece of text: a word, a part of a word or a sign. Models read and write tokens, and prices are counted in them.",
         "A token is the unit in which a model reads and writes: often a [short |]word or a part of one. [A hundred tokens are about seventy-five English words|In English, one token is about four letters]."),
        ("piece", "unit"),
    ),
    Topic(
        "temperature",
        ("What is temperature?", "What does [the |]temperature [do|mean|change]?", "Explain [the |]temperature[ setting|].", "Which temperature should I [use|choose]?", "What happens [when I raise|with a high] temperature?"),
        ("Temperature sets how [random|varied] the answers are. At 0 the model always takes the most likely token; [higher values|values near 1] give more varied, less predictable text.",
         "Temperature controls randomness. Use a low value, like 0 or 0.2, for facts and code, and [a higher one|about 0.8], for stories[ and ideas|]."),
        ("random", "varied"),
    ),
    Topic(
        "top-p",
        ("What is top_p?", "What does top_p [do|mean]?", "Explain top_p.", "What is nucleus sampling?"),
        ("With top_p, the model chooses only among the most likely tokens whose probabilities add up to p. [A value of 0.9 leaves out the unlikely ones|A lower value makes the text safer and less varied].",),
        ("likely",),
    ),
    Topic(
        "max-tokens",
        ("What is max_tokens?", "What does max_tokens [do|mean]?", "How can I limit the length of an answer?", "Why [was my answer cut off|does the answer stop in the middle]?"),
        ("max_tokens is the [largest|greatest] number of tokens that an answer may have. When it is reached, the answer stops and the finish reason is \"length\".",),
        ("tokens",),
    ),
    Topic(
        "who",
        ("Who are you?", "What are you?", "What is your name?", "[Which|What] model are you?", "Are you [a human|a person|a robot|ChatGPT|an AI]?", "Introduce yourself[.|, please.]", "Tell me [about yourself|who you are].", "who r u"),
        ("I am the starter model of {S}: a small language model, trained on synthetic text [made for this project|by this project's own code]. I am here so that you can try the service.",
         "I am [starter|the starter model], the small model that [comes with|ships with] {S}. I can [hold a short conversation|chat a little], but I am [no match for large models|much smaller than the models you may know]."),
        ("starter",),
    ),
    Topic(
        "abilities",
        ("What can you do?", "What are you able to do?", "How can you help me?", "What are your abilities?", "What are you good at?", "Which tasks can you do?"),
        ("I can answer questions about {S}, tell short stories, do small sums, write lists and [small |]JSON objects, and chat a little in English and Chinese. For anything harder, use a larger model.",
         "Small things: [a short story|stories], [simple|small] sums, lists, JSON, [a little|some] Python, and questions about {S}. I am a small model, so please check what I say."),
        ("small",),
    ),
    Topic(
        "limits",
        ("What can you not do?", "What are your limits?", "What are you bad at?", "Can I trust your answers?", "Do you make mistakes?", "How good are you?", "Are you always right?", "Why are your answers so simple?"),
        ("I am a small model trained on synthetic text. I know little about the world, I make mistakes, and I cannot [look things up|search the web]. Please use a larger model for real work.",
         "Honestly: I know very little. I was made for trying the service, not for real work. I have no [news|internet], and I can be wrong. Operators can add larger models with `manage.py addmodel`."),
        ("small", "little"),
    ),
    Topic(
        "add-model",
        ("How do I add [a model|another model|a larger model|a bigger model]?", "Can I [use|run|add] [a larger model|another model|my own model|Llama|Qwen]?", "Are there [better|larger|other] models?", "Which models [can I use|are there]?", "How can the operator add models?"),
        ("Operators add models with `manage.py addmodel`. [After that they appear|They then appear] on the models page [and in the API|with their prices].",
         "The models page lists [all models|what is served]. An operator can add a larger one with `manage.py addmodel`; Llama, Qwen and Mistral models [work|run] well."),
        ("addmodel",),
    ),
    Topic(
        "usage",
        ("How do I see my usage?", "Where can I see [my usage|what I used|how many tokens I used|my costs|my requests]?", "How much have I [used|spent]?", "Where are my requests [listed|shown]?", "Can I see what a request cost?", "Is there a [log|history] of my requests?"),
        ("The Usage page in the portal shows [tokens and costs|your tokens and costs] by day, model and key; the Requests page lists every [single |]request. Every number shown is the number billed.",
         "Open Usage in the portal for [totals|charts], or Requests for each request with its tokens, [time|speed] and price. What you see there is what is billed."),
        ("Usage",),
    ),
    Topic(
        "invite",
        ("How do I invite [a member|a colleague|my team|someone|people]?", "Can I [work with|share with|add] [my team|a colleague|other people]?", "How [can|do] I add a [team member|member|colleague]?", "How do members work?"),
        ("Open Members in the portal, enter the e-mail address and send the invitation. [The new member|Your colleague] joins your organisation [with the link in the mail|by the link in the e-mail].",
         "In the portal, go to Members and choose Invite. [The person|They] will get an e-mail with a link. Members of an organisation share its credit and its keys."),
        ("Members",),
    ),
    Topic(
        "playground",
        ("What is the playground?", "Where is the playground?", "How do I [use|open|find] the playground?", "Can I try it [in the browser|without code]?", "Where can I chat with a model?"),
        ("The playground is a page where you chat with a model in the browser: open /playground/. You can change the [temperature and other settings|settings] and [see|copy] the code for the same request.",
         "Open /playground/ in your browser. There you can [write to|chat with] any model, watch the answer stream, and [choose the settings|see what it cost]."),
        ("/playground/",),
    ),
    Topic(
        "run",
        ("How do I start {S}?", "How [can|do] I run [it|{S}|the service] [myself|on my machine|at home]?", "How do I install {S}?", "What do I need to run {S}?", "Do I need a GPU?"),
        ("Run `make run` in the project's folder[ and open http://localhost:8000|]. A GPU helps, but a laptop is enough for the starter model.",
         "`make run` starts everything with one command[: the site, the engine and a small model|]. Then open http://localhost:8000. A GPU is not needed for the starter model."),
        ("make run",),
    ),
    Topic(
        "error-401",
        ("Why do I get error 401?", "What does 401 mean?", "The API says unauthorized.", "My key [does not work|is not accepted].", "I get an authentication error."),
        ("Error 401 means that the key is missing or not valid. Send it as \"Authorization: Bearer sk-prl-...\" and check under Keys that it was not revoked.",),
        ("key",),
    ),
    Topic(
        "error-402",
        ("Why do I get error 402?", "What does 402 mean?", "The API says insufficient credit.", "What is a 402 error?"),
        ("Error 402 means that your credit is not enough for the request. Top up under Billing, or [ask for fewer tokens|lower max_tokens].",),
        ("credit",),
    ),
    Topic(
        "error-429",
        ("Why do I get error 429?", "What does 429 mean?", "The API says too many requests.", "What are rate limits?"),
        ("Error 429 means too many requests in a short time. Wait [a moment|for the time in the Retry-After header] and try again; [the limits are shown|you find your limits] in the portal.",),
        ("requests",),
    ),
    Topic(
        "system-prompt",
        ("What is a system prompt?", "What does the system message do?", "Explain the system prompt.", "How do I set a system prompt?"),
        ("A system prompt is a message at the start of a chat that tells the model how to behave, for example \"Answer briefly.\" In the API it is the message with the role \"system\".",),
        ("system",),
    ),
    Topic(
        "context",
        ("What is the context length?", "How much text can you read?", "How long can my prompt be?", "What is a context window?"),
        ("The context is all the text a model can see at once: [your messages and its answer|the prompt and the answer together]. [Mine is|I have] 2048 tokens; larger models have [more|much more].",),
        ("2048",),
    ),
    Topic(
        "privacy",
        ("Do you store my data?", "Is my data safe?", "Who can read my messages?", "Do you learn from our chats?", "Do you remember me?"),
        ("I do not learn from our chats, and I remember nothing after this conversation. The operator of this machine runs the service; [prompts are not written to its logs|the logs hold no prompts].",),
        ("not",),
    ),
    Topic(
        "json-mode",
        ("How do I get JSON?", "Can you answer in JSON?", "How do I make the model return JSON?", "What is JSON mode?"),
        ("Ask for JSON in your message, and set \"response_format\" in the API: {\"type\": \"json_object\"}. Then the answer is always valid JSON.",),
        ("JSON",),
    ),
)
TOPICS = enlarged(_TOPICS, FURTHER)
