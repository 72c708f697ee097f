# ruff: noqa: E501 - the corpus is prose: a template stays on one line
# fmt: off
"""Further ways to ask what `service_details.py` answers. The form is that of `asked_en.py`."""

from inference.training.corpus.topic import Further

ENGLISH: dict[str, Further] = {
    "endpoints": Further(
        ("[endpoints|api endpoints|api routes]?", "[Show|Tell] me the [endpoints|routes|API endpoints].", "[Which|What] [URLs|paths|addresses] does the API [have|offer|serve]?", "What are the [main|most important] [endpoints|routes|API calls]?", "[Which|What] endpoint do I [use|call] for [a chat|chats|text|plain text]?", "What can I [send|post] to the API?", "What does the API [offer|consist of|contain]?", "[Is there|Do you have] a list of [endpoints|routes|API calls]?", "How many endpoints [are there|does the API have]?", "Which [parts|calls] of the OpenAI API [are there|do you have|work here]?"),
        ("You can call /v1/chat/completions for chats, /v1/completions for plain text and /v1/models for the models.",),
    ),
    "chat-or-completion": Further(
        ("[chat vs completion|chat or completion|completions]?", "[When|Why] [do|should] I use [chat|completions|a completion]?", "What [is a chat completion|is a text completion|does the completions endpoint do]?", "How [is a chat different|does a chat differ] from a completion?", "Which is better, chat or [completion|completions]?", "Explain [completions|the two endpoints|chat and completions].", "[Should|Do] I [use|take|need] chat or completion[s|]?", "What are completions [for|good for]?", "What does [completion|text completion] mean?"),
        ("For questions use a chat: it has messages with roles. For raw text use a completion: it takes plain text and continues it.",),
    ),
    "list-models": Further(
        ("[list models|model list|model id|model name]", "[Which|What] [id|name] does [the|this] model have[ in the API|]?", "[Show|Give|Tell] me the [model list|models|list of models|model ids].", "[Where|How] [can I find|do I find|do I see|can I get] the [model list|model names|list of models|model's id]?", "What do I [put|write|enter] [in|into|for] the model field?", "What is the model [called|name] in the API?", "Which [value|text] goes into \"model\"?", "[Which|What] models are [served|running|loaded|available]?", "Is there a list of [models|all models|model names]?"),
        ("The models page lists them, and so does a GET request to /v1/models. The small one is called starter.",),
    ),
    "stop": Further(
        ("[stop sequences|stop parameter|stop words]?", "How do I [end|stop|cut] the answer at [a word|a line|a certain text]?", "What is the stop [parameter|option|setting|sequence]?", "[Can|May] I [set|use|give] [stop sequences|a stop sequence|stop words]?", "[How|When|Why] do I use stop[ sequences|]?", "Explain stop sequences[ to me|].", "[I want|I would like] the answer to [end|stop] at [a word|a certain word|a new line].", "Is the stop [text|sequence|word] part of the answer?", "How many stop sequences can I [set|use|have]?"),
        ("Give texts in the stop parameter: the answer ends before the first of them that would appear.",),
    ),
    "seed": Further(
        ("[seed|seed parameter|reproducible answers]?", "[What|Which] seed [should|do] I [use|set|choose]?", "[How|When|Why] do I [use|set] [a|the] seed?", "How can I [repeat|reproduce] an answer?", "[Can|How can] I get [identical answers|equal results|the same output] [again|every time|each time]?", "Why [is the answer|are the answers] different [every time|each time|when I ask again]?", "Explain the seed[ parameter|].", "What is the [seed for|purpose of a seed|effect of the seed]?", "Are [the answers|the results|your answers] [deterministic|reproducible|repeatable]?"),
        ("The seed fixes the random choices: the same seed with the same request gives the same answer.",),
    ),
    "welcome": Further(
        ("[free trial|free credit|welcome credit|trial]?", "[Do|Will] [new users|I|beginners] [get|receive] [free credit|some credit|credit] [at first|to start with|as a gift|for nothing]?", "[Can|May|How can] I [try|test] [{S}|it|the service] [for free|without paying|before I pay]?", "Is there [any|some] [free credit|credit for new users|starting credit|free usage]?", "Do I [have to|need to] pay [at once|first|before I can try it|right away]?", "How much free credit [do I get|is there]?", "[Can|May] I [start|begin|use it] without [a card|money|paying|a payment]?", "What is the welcome credit?", "[Is a trial|Is a test|Are the first requests] free?"),
        ("A small welcome credit is given to new organisations where no payments are set up. Elsewhere you top up first, under Billing.",),
    ),
    "auto-top-up": Further(
        ("[auto top-up|automatic top-up|auto recharge|automatic payment]?", "[Can|How can] my [balance|credit] be [refilled|topped up|filled up] [automatically|by itself]?", "[How|Where] do I [turn on|enable|set up|turn off|stop] [automatic top-up|auto top-up]?", "What does auto[matic|] top-up [do|mean]?", "Is there [an automatic|automatic|an auto] [top-up|payment|recharge]?", "[I want|I would like] [automatic top-up|auto top-up|my credit to refill itself].", "Explain automatic top-up[ to me|].", "When is my card charged[ automatically|]?", "[Can|Will] you charge my card [automatically|by yourself|when my credit is low]?", "How do I [make sure|avoid] that my credit [never runs out|runs out]?"),
        ("You set a limit under Billing: when the balance falls below it, your saved card is charged by itself. This is automatic top-up.",),
    ),
    "invoice": Further(
        ("[invoice|invoices|receipt|receipts|bill]?", "[Where|How] [do|can] I [get|download|see|print] [an invoice|a receipt|my invoices|my receipts|my bills]?", "[I need|I want|I would like|Please send me] [an invoice|a receipt|a bill|my invoices].", "[Do|Will] you [send|write|issue] [invoices|receipts|bills]?", "[Is there an invoice|Are there invoices|Are there receipts] for [my payment|my top-up|payments]?", "My [boss|accountant|company] needs [an invoice|a receipt|the invoices].", "[Can|Where can] I [change|enter] my [invoice address|billing address|tax number]?", "Which page has my [invoices|receipts|bills]?", "How do I find [an old|the last|my last] [invoice|receipt|bill]?"),
        ("Open Billing in the portal: every payment has its invoice and receipt there.",),
    ),
    "organisation": Further(
        ("[organisation|organisations|organization]?", "What is an [organization|organisation for|organisation good for]?", "[How|Where] do I [switch|change|choose] [my organisation|organisations|between organisations]?", "Do I need an organisation?", "Who [belongs to|is in] [my|an] organisation?", "Explain [organisations|the organisation|what an organisation is].", "[Can|May] I [have|create|make|belong to] [a second|another|more than one] organisation?", "What [belongs to an organisation|does an organisation have|does an organisation hold]?", "How do [organisations|organisations and members] work?"),
        ("Credit, keys and members belong to an organisation. You have one of your own, and others can invite you to theirs.",),
    ),
    "sign-up": Further(
        ("[sign up|sign in|login|register|new account|registration]", "[Where|How] [do|can] I [open|make|get|set up] [an account|a new account|a login]?", "[I want|I would like|I need] [an account|to register|to sign up|to log in].", "[Must|Why must] I [register|sign up|have an account]?", "[Where|How] do I [sign in|log on|log in]?", "[Can|May] [I|anybody|everyone] [register|sign up|create an account]?", "What do I need to [register|sign up|create an account]?", "How does [registration|signing up|the sign-up] work?", "I [have no account|am not registered|did not get the mail][ yet|]."),
        ("Press \"Sign up\" at the top, give your e-mail address and a password, and confirm the mail that we send you. Then sign in.",),
    ),
    "security": Further(
        ("[2fa|two-factor|passkey|change password|forgot password|account security]?", "[Where|How] [do|can] I [set up|turn on|enable|use] [a passkey|two-factor authentication|2FA|an authenticator app]?", "[I want|I would like|I need] to [change my password|use a passkey|set up two-factor authentication|make my account safer].", "[Can|Where can] I [change|reset|choose] [my|a new] password?", "How [safe|secure] is my account?", "How [can|do] I [secure my account|make my account safe|make my account safer]?", "[Do you have|Do you support|Is there support for] [passkeys|2FA|two-factor login|two-factor authentication]?", "What is a passkey?", "Somebody knows my password[.|. What now?]"),
        ("The account settings have all of it: a new password, an authenticator app for a second factor, and passkeys.",),
    ),
    "key-safety": Further(
        ("[key safety|keep key safe|key security]?", "[How|Where] do I [store|save|keep] [my|a|an API] key [safely|securely]?", "[Can|May|Should] I [put|write] [my|the] key [in my code|in a web page|in the program|on GitHub]?", "[Can|May|Should] I [give|send|show] my key to [a friend|a colleague|others|somebody]?", "[Can|May] [others|several programs|two people] use [the same|one|my] key?", "Is it [safe|okay|dangerous] to [share|publish|show] my key?", "How [do|can] I [protect|hide] my [API |]key?", "What should I [do|know] to keep my key [safe|secret]?", "[Must|Should] the key be [hidden|kept secret|private]?"),
        ("A key is secret, like a password: put it in an environment variable, not in code, and give every program a key of its own.",),
    ),
    "speed": Further(
        ("[speed|how fast|slow|tokens per second]?", "Why [are you|is it|is this|is the model] [so slow|so fast|slow]?", "How [quick|quickly|fast] [do you answer|can you answer|is the model|is {S}|are the answers]?", "How long does an answer take?", "[How|What] can I [make it|get it|do to make it] [faster|quicker]?", "How many tokens [a|in one] second?", "[I have to wait [long|so long] for the answer.|Why must I wait [long|so long] for an answer?]", "What [is your|is the] speed?", "[Does|Will] a GPU [help|make it faster]?"),
        ("It depends on the machine and the model: small models are quick on any computer, large ones want a GPU.",),
    ),
    "websocket": Further(
        ("[websocket|websockets|server-sent events|sse]?", "What [is a web socket|are websockets|is SSE] [for|used for|good for]?", "[Explain|Describe] [websockets|server-sent events|SSE][ to me|].", "[How do websockets work|Why are websockets used|How do server-sent events work|Why are server-sent events used]?", "What is the difference between [a websocket and server-sent events|websockets and SSE]?", "Does the [playground|API] use [a websocket|websockets|server-sent events]?", "What does [SSE|websocket] mean?", "How [do the tokens|does each token|does the text] [get|come] to [my browser|the browser]?"),
        ("Both bring you each token as soon as it is there: a websocket is a line open in both directions, server-sent events go in one, from the server to you.",),
    ),
    "docs": Further(
        ("[docs|documentation|manual|help page|api docs|guide]", "[Where|How] [can|do] I [find|read|see|open] the [docs|manual|documentation|guide|API reference]?", "Is there [a manual|some documentation|a guide|a tutorial|an API reference]?", "[I need|I want|Show me|Give me] the [docs|documentation|manual|instructions|guide].", "Where [is|do I find] the [manual|guide|API reference|tutorial]?", "[Where|How] [can|do] I [learn|find out] more[ about {S}| about the API|]?", "Which page [explains|describes] [the API|everything|how to use it]?", "How do I learn to use [{S}|the API]?", "Do you have [docs|a manual|a guide|documentation]?"),
        ("Everything is explained at /docs/, with examples for the API.",),
    ),
    "size": Further(
        ("[size|parameters|parameter count|model size]?", "How many [layers|weights|millions of parameters] do you have?", "[Are|Why are] you [so |]small?", "[Are you|Is your model] [big|large|small|tiny|huge]?", "What [is your size|size are you|size do you have]?", "How [big|large|small] is [the starter model|the model|this model|starter]?", "What is your [number of parameters|parameter count|size]?", "[Tell|Show] me [how big you are|your size|how large you are].", "Are you [as big as GPT|as large as ChatGPT|bigger than ChatGPT|smaller than other models]?"),
        ("Very small: I have three and a half million parameters, where large models have billions.",),
    ),
    "test": Further(
        ("test [1|2|123|1 2 3|message]", "[Is it|Is this|Are you] [working|online|running|up]?", "[Can|Do] you [hear|read] me?", "[trying this out|Only a test|A test message]", "[Anybody|Anyone|Somebody] [there|here|home]?", "Does [this|the model|the service] work?", "[I am just|Just] [trying|testing] [this|it|the service|you].", "Are you [awake|ready|listening]?", "Do you [answer|respond|work]?"),
        ("Yes, it works. [Ask me something!|What would you like to know?]",),
    ),
    "unclear": Further(
        ("[jkl|hjkl|dfg|sdf|zzz|aaa|ooo|uuu]", "[blah|bla|mmm|er|eh|huh]", "[!!|!!!|??|. .|- -]", "[foo|bar|baz|foobar|x y z|a b c]", "[lol|whatever|so so|nothing|something|dunno]", "[qwertz|yxcv|wasd|uiop]", "[42 42|7|99|0]", "[dolor sit amet|lorem|ipsum]", "[This and that|And then|So what|But why|Because]"),
        ("I do not understand what you mean. Ask me about {S}, or for a story, a list or a small sum.",),
    ),
}

CHINESE: dict[str, Further] = {
    "endpoints": Further(
        ("[接口列表|API接口|端点]", "API有哪些[接口|路径|地址]？", "[请|]列出[所有|全部|]接口。", "[对话|补全|聊天]用哪个接口？", "有[什么|几个]接口[可以用|]？", "API[支持|提供]哪些[接口|端点|功能]？", "[我想|我要]知道有哪些接口。", "主要的接口是[什么|哪些]？", "[怎么|如何]知道有哪些接口？"),
        ("可以调用/v1/chat/completions来对话，/v1/completions来补全文本，/v1/models来查看模型。",),
    ),
    "list-models": Further(
        ("[模型列表|模型名|模型名称]", "[在哪里|哪里]可以[看到|查看|找到]模型[列表|名字]？", "model[字段|参数]填什么？", "模型[叫什么|的id是什么|的名称是什么]？", "[请|]列出[所有|全部|]模型。", "我[应该|要|该]用哪个模型名？", "现在[有|运行着][哪些|什么]模型？", "[怎么|如何][得到|获取]模型列表？", "小模型叫什么名字？"),
        ("模型页面列出了所有模型，/v1/models也可以。小模型叫starter。",),
    ),
    "seed": Further(
        ("[seed|随机种子|种子参数]", "[什么是seed？|请解释seed参数。|什么是seed参数？]", "seed[参数|]有什么用？", "为什么每次[的|]回答[都|]不一样？", "[怎么|如何][设置|使用]seed？", "[怎么|如何]让回答[可以重复|每次都一样|不变]？", "seed应该[设成多少|怎么设]？", "回答可以[重复|重现|一样]吗？", "随机种子是什么[意思|]？"),
        ("seed是随机种子：seed一样，设置一样，回答就一样。",),
    ),
    "welcome": Further(
        ("[免费试用|试用|免费额度|欢迎额度]", "[有没有|有]免费[的|]试用？", "[可以|能]先[试用|试一下]再[付款|充值]吗？", "[新用户|注册以后|注册后][有|送]免费额度吗？", "不[付钱|充值|付款][可以|能]用吗？", "一开始就[要|需要]付款吗？", "[送|赠送|免费给]多少额度？", "欢迎额度是什么？", "[怎么|如何][免费试用|得到免费额度|得到欢迎额度]？"),
        ("没有设置付款的服务会送新组织一点欢迎额度；设置了付款的，请先在Billing页面充值。",),
    ),
    "sign-up": Further(
        ("[注册|登录|创建账户|注册账号]", "在哪里[注册|登录|注册账号]？", "我[想|要][注册|登录|开一个账户|创建账户]。", "[怎么|如何][创建|开|申请]账[户|号]？", "[必须|需要|要]注册吗？", "我没有账[户|号][，怎么办？|。]", "注册需要[什么|哪些信息]？", "[谁可以注册？|谁都可以注册吗？]", "没[收到|有收到]确认邮件[，怎么办？|。]"),
        ("在页面上方点注册，填写邮箱和密码，再确认收到的邮件，然后登录。",),
    ),
    "key-safety": Further(
        ("[密钥安全|保管密钥|密钥保密]", "[怎么|如何][保管|保存|存放]密钥[才安全|]？", "密钥[可以|能][写在代码里|放在网页里|发给别人|公开]吗？", "密钥[应该|要][怎么保存|保密吗|放在哪]？", "[可以|能]和[别人|同事|朋友][共用|分享]密钥吗？", "几个程序可以[用|共用]一个密钥吗？", "密钥[安全吗|是秘密的吗]？", "密钥[要|应该]注意什么？", "[可以|能]把密钥[上传到GitHub|告诉朋友|给同事]吗？"),
        ("密钥像密码一样要保密：放在环境变量里，不要写进代码，每个程序用自己的密钥。",),
    ),
    "docs": Further(
        ("[文档|说明书|使用帮助|教程|API文档]", "[哪里|在哪里]有[文档|教程|说明|帮助]？", "有[教程|使用说明|API文档|手册][吗|没有]？", "我想看[文档|说明|教程|帮助]。", "[怎么|如何|在哪里]了解更多？", "文档[的地址是什么|怎么打开|在哪个页面]？", "[怎么|如何][学习使用|学会用]{S}？", "哪个页面[介绍|说明]怎么用API？", "[请|]给我[文档|教程|使用说明]。"),
        ("请看/docs/，那里有使用说明和API的例子。",),
    ),
    "size": Further(
        ("[参数量|模型大小|多少参数]", "你[是|算][小模型|大语言模型|很大的模型]吗？", "starter[模型|]有多[大|少参数]？", "你的参数[有多少|量是多少]？", "你[有|一共有]几层？", "你为什么这么小？", "这个模型[多大|有多大|有多少参数]？", "你和大模型[差多少|比有多大]？", "你的大小是多少？"),
        ("很小：我有三百五十万个参数，大模型有几十亿个。",),
    ),
    "test": Further(
        ("测试[123|一二三|消息|中]", "[只是|我在|这是]测试[一下|]", "你[在吗|在线吗|在不在]？", "[有人|有人在]吗？", "[可以|能]用[了吗|吗]？", "[能|可以]听到吗？", "[喂|喂，在吗？|嘿，在吗？]", "试[试|一下|试看]", "[正常|工作|运行]吗？"),
        ("我在，一切正常。[请说。|请问吧。]",),
    ),
    "unclear": Further(
        ("[哦|呃|额|唔|嘿嘿|呵呵]", "[！！！|？|。|…]", "[这个|那个|什么|然后呢|所以呢]", "[不知道|没什么|算了|无所谓]", "[哈|哈哈哈|嘻嘻|啦啦啦]", "[一二三|甲乙丙|某某]", "[就是|那么|因为|但是]", "[打字打字|乱打的|随便说说]", "[嗯嗯|啊啊|哦哦]"),
        ("我没明白你的意思。你可以问我{S}的用法，或者让我算一道小题。",),
    ),
}
