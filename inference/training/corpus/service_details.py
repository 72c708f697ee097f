# ruff: noqa: E501 - the corpus is prose: a template stays on one line
# fmt: off
"""Further questions about this service: parameters, accounts, endpoints, and what people send to test it."""

from inference.training.corpus import asked_details
from inference.training.corpus.topic import Topic, enlarged

_ENGLISH = (
    Topic(
        "endpoints",
        ("Which endpoints [are there|does the API have]?", "What [endpoints|routes] can I call?", "Which API [calls|endpoints] are supported?", "List the endpoints."),
        ("The main ones are /v1/chat/completions for chats, /v1/completions for plain text and /v1/models for the list of models.",),
        ("/v1/chat/completions",),
    ),
    Topic(
        "chat-or-completion",
        ("What is the difference between chat and completion[s|]?", "Chat or completions: which should I use?", "What is a completion?"),
        ("A chat takes messages with roles and answers the last one. A completion takes plain text and goes on with it. Use chat for questions, completions for raw text.",),
        ("plain text",),
    ),
    Topic(
        "list-models",
        ("How do I list the models?", "How can I see which models are served?", "Which model name do I use in the API?", "What is the model id?"),
        ("Send a GET request to /v1/models, or open the models page. The small model's id is starter.",),
        ("starter",),
    ),
    Topic(
        "stop",
        ("What are stop sequences?", "What does the stop parameter do?", "How do I make the model stop at a word?"),
        ("The stop parameter names texts at which the answer ends. The stop text itself is not part of the answer.",),
        ("ends",),
    ),
    Topic(
        "seed",
        ("What is the seed?", "What does the seed parameter do?", "How do I get the same answer twice?", "Can answers be reproducible?"),
        ("With the same seed and the same settings you get the same answer again. At temperature 0 [no seed is needed|there is no randomness at all].",),
        ("same",),
    ),
    Topic(
        "welcome",
        ("Is there a free trial?", "Do I get free credit?", "Can I try it for free?", "Is there a welcome credit?"),
        ("Where no payments are set up, a new organisation gets a small welcome credit, so that you can try everything. Otherwise you top up under Billing.",),
        ("welcome credit",),
    ),
    Topic(
        "auto-top-up",
        ("What is automatic top-up?", "How does auto top-up work?", "Can I top up automatically?", "How do I switch on auto top-up?"),
        ("With automatic top-up your saved card is charged when the balance falls below a limit that you set. Switch it on in the portal under Billing.",),
        ("Billing",),
    ),
    Topic(
        "invoice",
        ("Where [are|do I find] my invoices?", "Can I get an invoice?", "Do I get a receipt?"),
        ("Your invoices and receipts are in the portal under Billing.",),
        ("Billing",),
    ),
    Topic(
        "organisation",
        ("What is an organisation?", "Why do I have an organisation?", "Can I be in several organisations?"),
        ("An organisation holds the credit, the keys and the members of a team. You get one of your own when you sign up, and you can be invited to others.",),
        ("members",),
    ),
    Topic(
        "sign-up",
        ("How do I sign up?", "How do I create an account?", "Where can I register?", "How do I log in?"),
        ("Choose \"Sign up\" at the top of the page, enter your e-mail address and a password, and confirm the mail. After that you can sign in.",),
        ("Sign up",),
    ),
    Topic(
        "security",
        ("How do I protect my account?", "Is there two-factor authentication?", "Can I use a passkey?", "How do I change my password?"),
        ("In your account settings you can change the password and set up an authenticator app or a passkey.",),
        ("settings",),
    ),
    Topic(
        "key-safety",
        ("How should I store my key?", "Is my key secret?", "Can I share my key?", "Where should I keep my API key?"),
        ("Keep your key secret: store it in an environment variable, never in your code or in a web page. Make one key per program, and revoke those you no longer use.",),
        ("secret",),
    ),
    Topic(
        "speed",
        ("How fast are you?", "How many tokens per second do you make?", "Why is the answer slow?", "Can it be faster?"),
        ("That depends on the machine: I am small, so I am quick even without a GPU. Large models need a GPU to be fast. The playground shows the speed of each answer.",),
        ("machine",),
    ),
    Topic(
        "websocket",
        ("What is a websocket?", "Why does the playground use a websocket?", "What are server-sent events?"),
        ("A websocket keeps a line open between browser and server, so that each token can be shown at once. Server-sent events do the same in one direction; the API uses them for streaming.",),
        ("token",),
    ),
    Topic(
        "docs",
        ("Where is the documentation?", "Are there docs?", "Where can I read more?", "Where do I find help?"),
        ("The documentation is at /docs/, and the models page lists the models with their prices.",),
        ("/docs/",),
    ),
    Topic(
        "size",
        ("How [big|large] are you?", "How many parameters do you have?", "Are you a large language model?"),
        ("I am very small: a few million parameters. Large models have thousands of times as many, so please do not expect too much of me.",),
        ("small",),
    ),
    Topic(
        "test",
        ("test", "Test", "This is a test.", "testing", "Just testing", "Does it work?", "Are you there?", "ping", "Is this thing on?"),
        ("It works! [What can I do for you?|You can ask me something now.]",),
        ("works",),
    ),
    Topic(
        "unclear",
        ("asdf", "asdfgh", "???", "...", "hmm", "bla bla", "xyz", "qwerty", "lorem ipsum", "abc", "foo bar", "?", "uh", "1", "x"),
        ("I am not sure what you mean. [You can ask me about {S}, or for a short story, a list or a small sum.|Could you say it in other words?]",),
        ("mean",),
    ),
)

_CHINESE = (
    Topic(
        "endpoints",
        ("有哪些接口？", "API有哪些端点？", "可以调用哪些接口？"),
        ("主要有/v1/chat/completions（对话）、/v1/completions（文本补全）和/v1/models（模型列表）。",),
        ("/v1/chat/completions",),
    ),
    Topic(
        "list-models",
        ("[怎么|如何]查看模型列表？", "模型的名字是什么？", "API里用哪个模型名？"),
        ("请求/v1/models，或者打开模型页面。小模型的名字是starter。",),
        ("starter",),
    ),
    Topic(
        "seed",
        ("seed是什么[意思|]？", "[怎么|如何]得到一样的回答？"),
        ("使用相同的seed和相同的设置，就会得到一样的回答。温度为0时没有随机性。",),
        ("seed",),
    ),
    Topic(
        "welcome",
        ("可以免费试用吗？", "有免费额度吗？", "新用户有赠送吗？"),
        ("如果没有设置付款，新的组织会得到一点欢迎额度，可以试用所有功能；否则请在Billing页面充值。",),
        ("额度",),
    ),
    Topic(
        "sign-up",
        ("[怎么|如何]注册？", "[怎么|如何]登录？", "在哪里创建账户？"),
        ("点击页面上方的注册，输入邮箱和密码，然后确认邮件，就可以登录了。",),
        ("邮",),
    ),
    Topic(
        "key-safety",
        ("密钥应该放在哪里？", "可以把密钥给别人吗？", "[怎么|如何]保护密钥？"),
        ("请保密：把密钥放在环境变量里，不要写进代码或网页。每个程序用一个密钥，不用的就撤销。",),
        ("密",),
    ),
    Topic(
        "docs",
        ("文档在哪里？", "有说明文档吗？", "在哪里可以看帮助？"),
        ("文档在/docs/，模型和价格在模型页面。",),
        ("/docs/",),
    ),
    Topic(
        "size",
        ("你有多大？", "你有多少参数？", "你是大模型吗？"),
        ("我很小，只有几百万个参数。大模型的参数是我的几千倍，所以请不要对我期望太高。",),
        ("小",),
    ),
    Topic(
        "test",
        ("测试", "测试一下", "在吗？", "在吗", "能用吗？"),
        ("在的！[有什么可以帮你的吗？|请说。]",),
        ("在",),
    ),
    Topic(
        "unclear",
        ("啊", "嗯", "哈哈", "。。。", "？？？", "随便"),
        ("我不太明白你的意思。[你可以问我关于{S}的问题，或者让我讲一个小故事。|可以换一种说法吗？]",),
        ("明白",),
    ),
)
ENGLISH = enlarged(_ENGLISH, asked_details.ENGLISH)
CHINESE = enlarged(_CHINESE, asked_details.CHINESE)
