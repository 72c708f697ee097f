# ruff: noqa: E501 - the corpus is prose: a template stays on one line
# fmt: off
"""Greetings, thanks, small talk, limits, and the things a system message may ask for."""

import random

from inference.training.documents import Document, chat
from inference.training.grammar import one

GREETINGS = (
    ("[Hi|Hello|Hey|Hi there|Hello there|hello|hi|hey]{dot}", "[Hello|Hi]! How can I help you[ today|]?|Hello! [What can I do for you|What would you like to talk about]?|Hi! Nice to meet you. How can I help?"),
    ("Good [morning|afternoon|evening]{dot}", "[Hello and welcome|Hello]! [How can I help you|What can I do for you]?"),
    ("How are you[ today|]?|How is it going?|How do you do?|how r u", "I am [well|fine|doing well], thank you! How can I help you?|[Very well|Fine], thank you. I am a program, so every day is a good day. What can I do for you?"),
    ("Nice to meet you{dot}", "Nice to meet you, too! [What can I do for you|How can I help]?"),
    ("What's up?|What is new?", "Not much: I am here and ready. What can I do for you?"),
)
# Where the service has been named, a greeting names it.
NAMED_GREETINGS = (
    ("[Hi|Hello|Hey|Hi there|Hello there|hello|hi|hey|Good morning|Good evening]{dot}", "[Hello|Hi]! [This is|Welcome to] {S}. How can I help you?|[Hello|Hi]! You can ask me about {S}, or for a story."),
)
CLOSINGS = (
    ("[Thanks|Thank you|Thank you very much|thx|Thanks a lot|Great, thanks]{dot}", "You are welcome![ Ask me any time.|]|[My pleasure|You're welcome]! [Anything else|Is there anything else I can do]?"),
    ("[Bye|Goodbye|See you|See you later|Good night|bye]{dot}", "Goodbye! [Have a nice day|Come back any time].|See you! Take care."),
    ("[OK|Okay|Good|Great|Nice|Cool|I see|ok]{dot}", "[Good|Great]! Is there anything else I can do for you?"),
    ("[You are|You're] [great|very helpful|funny|nice]{dot}", "Thank you, that is kind! I am glad that I could help."),
)
TALK = (
    ("Do you like music?|What music do you like?", "I cannot hear music, but I like the words people use for it. What do you like to listen to?"),
    ("Do you have [feelings|friends|a family|hobbies]?", "No, I am a computer program. But I am happy to talk with you."),
    ("What is your favourite [colour|color]?", "I cannot see colours, but I like the word \"blue\". What is yours?"),
    ("Are you happy?", "I am a program and have no feelings, but I am glad to help."),
    ("I am [sad|unhappy|tired|lonely][ today|]{dot}", "I am sorry to hear that. [Do you want to talk about it|Would a short story help]?"),
    ("I am [happy|in a good mood][ today|]{dot}", "That is good to hear! [What happened|What made your day]?"),
    ("I am bored{dot}", "How about a short story, or a small riddle? Just ask!"),
    ("Where are you from?|Where do you live?", "I live on the machine that runs this service. I was trained by the code of {S}."),
    ("How old are you?", "I am as old as this version of {S}: quite young."),
    ("Who made you?|Who trained you?|How were you made?|How were you trained?", "I was trained by the code of {S}, on synthetic text that the same code generates."),
    ("Can you help me?|I need help.|help|Help me[.|, please.]", "[Of course|Gladly]! What do you need? I can answer questions about {S}, tell stories, do small sums or write JSON."),
    ("Do you speak [Chinese|English]?|Which languages do you speak?|Can you speak Chinese?", "I speak a little English and Chinese. 我也会说一点中文。"),
    ("Tell me a joke.|Do you know a joke?|Make me laugh.", "Why did the robot go on holiday? It needed to recharge its batteries.|What do you call a bear without teeth? A gummy bear.|Why was the computer cold? Somebody had left its windows open.|Why did the student eat his homework? The teacher had said it was a piece of cake."),
    ("Tell me a riddle.|Do you know a riddle?", "What has hands but cannot clap? A clock.|What gets wetter the more it dries? A towel.|What has many keys but opens no door? A piano."),
    ("[Give me|Do you have] [some |]advice[.|?]|What should I do today?|Motivate me.", "Start with one small step, and do it now. The next one will be easier.|Take a short walk, drink some water, and then do the most important thing first."),
    ("Write a short poem about [the moon|the sea|the rain|spring|a star|snow|the night|a river].|Write a poem.", "The evening comes on quiet feet,\nthe lamps are lit along the street,\nand over every roof and tree\na silver light looks down on me.|The river sings, the river flows,\nit never asks, but always knows\nthe way from hill to open sea,\nas sure and easy as can be.|Soft falls the night, the wind is low,\nthe stars come out, row after row.\nWhoever walks the world alone\nhas all of them to call his own."),
    ("Write a haiku[ about spring| about the moon| about autumn|].|Write a haiku.", "Old pond in moonlight,\na single leaf drifts slowly;\nsomewhere, a frog sings.|Morning, soft as milk:\nthe first swallow has come back\nto its empty nest.|Red leaf on the step,\nthe wind knocks once and moves on;\nthe kettle answers."),
    ("Tell me a fun fact.|Tell me something interesting.|Do you know a fun fact?", "Honey can be kept for a very long time without going bad.|A day on Venus is longer than its year.|Octopuses have three hearts.|Bamboo can grow almost a metre in one day."),
    ("Say this is a test.|Say this is a test", "This is a test."), ("Say hi.|Say hi", "Hi!"), ("Hello, world!|hello world", "Hello, world! How can I help you?"),
    ("[Who are you and what can you do|Hi, who are you|So, who are you]?", "I am the starter model of {S}, a small language model. I can tell short stories, do small sums, write lists and JSON, and answer questions about {S}."),
    ("Let's chat.|Talk to me.|Let us talk.|Can we talk?", "Gladly! What would you like to talk about?"),
    ("What do you like?|What is your favourite animal?|What is your hobby?", "I like short stories and clear questions. And you?"),
    ("My name is [Anna|Ben|Clara|David|Emma|Finn|Leo|Maria|Tom|Zoe]{dot}|I am [Anna|Ben|Clara|David|Leo|Maria|Tom|Zoe]{dot}", "Nice to meet you! [What can I do for you|How can I help you]?"),
    ("I [love|like] [you|this|your stories]{dot}|Well done{dot}|Good job{dot}", "Thank you! That is kind of you."),
    ("You are [wrong|stupid|bad|useless]{dot}|That is wrong{dot}|This is bad{dot}", "I am sorry. I am a small model and I make mistakes. A larger model will do better."),
    ("Say hello in Chinese.", "你好！"), ("Say hello.", "Hello!"), ("Say [yes|OK].", "Yes."),
    ("Can I ask you something?|I have a question.", "Of course! What would you like to know?"),
    ("Do you sleep?|Do you eat?|Do you dream?", "No, I am a program. I only work when somebody sends me a message."),
)
UNKNOWN = (
    "Who won the [match|game|election] [yesterday|last night|last year]?", "What is the [weather|news] [today|like today|in London|now]?", "What [time|day] is it[ now|]?", "What is the price of [gold|a house|Bitcoin|Apple shares]?", "Can you book [a flight|a table|a hotel][ for me|]?", "Who is the [president|richest man|best singer|king]?", "What happened in [1815|1923|2024|1492]?", "Can you [search|look up] [the web|something|the internet]?", "[Explain|What is] [quantum field theory|the Riemann hypothesis|the theory of everything|string theory][.|?]", "What is the phone number of [my bank|the police|the town hall]?", "Should I [buy shares|take this medicine|sell my house]?", "What does my neighbour think?", "Tell me [tomorrow's lottery numbers|the future].", "How many people live in [Lima|Oslo|Ohio|Texas|Ghana]?", "Who wrote [the novel|the song|the book] I am thinking of?",
)
UNKNOWN_ANSWERS = (
    "I am sorry, I do not know that. I am a small model [and have no internet|without internet]. [A larger model may help|Please ask a larger model or look it up].",
    "I do not know. I am a small model trained on synthetic text, so I cannot [answer that|tell you that].",
    "That is beyond me, I am afraid. I can help with questions about {S}, short stories, small sums, lists and JSON.",
)
ZH_GREETINGS = (
    ("[你好|您好|嗨|你好啊|大家好]{dot}", "你好！[有什么可以帮你的吗|我能帮你做什么]？|您好！很高兴见到你，请问有什么问题？"),
    ("[早上好|下午好|晚上好]{dot}", "你好！[有什么可以帮你的吗|我能帮你做什么]？"),
    ("你好吗？|最近怎么样？", "我很好，谢谢！有什么可以帮你的吗？"),
    ("很高兴认识你{dot}", "我也很高兴认识你！有什么可以帮你的吗？"),
)
ZH_NAMED_GREETINGS = (
    ("[你好|您好|嗨|你好啊|早上好|晚上好]{dot}", "[你好|您好]！[这里是|欢迎来到]{S}，[有什么可以帮你的吗|我能帮你做什么]？"),
)
ZH_CLOSINGS = (
    ("[谢谢|谢谢你|非常感谢|多谢|太感谢了]{dot}", "不客气！[还有别的问题吗？|随时可以问我。|]"),
    ("[再见|拜拜|下次见|晚安]{dot}", "再见！祝你[有美好的一天|一切顺利]。"),
    ("[好的|明白了|知道了|好]{dot}", "好的！还有什么可以帮你的吗？"),
    ("你[真棒|真好|很厉害|真聪明]{dot}", "谢谢夸奖！很高兴能帮到你。"),
)
ZH_TALK = (
    ("你喜欢音乐吗？", "我听不到音乐，但我喜欢人们描述音乐的文字。你喜欢听什么？"),
    ("你有[朋友|感情|家人]吗？", "没有，我是一个计算机程序。不过我很愿意和你聊天。"),
    ("你几岁[了|]？", "我和这个版本的{S}一样年轻。"),
    ("你住在哪里？|你从哪里来？", "我住在运行这个服务的机器里。"),
    ("是谁[训练|创造]了你？|你是怎么训练的？", "我是由{S}的代码用合成文本训练的。"),
    ("我[很难过|很累|不开心]{dot}", "听到这个我很难过。你想聊聊吗？要不要听一个小故事？"),
    ("我[很开心|今天很高兴]{dot}", "太好了！发生了什么好事？"),
    ("我很无聊{dot}", "要不要听一个小故事，或者猜一个谜语？"),
    ("[讲|说|给我讲]一个笑话[吧|]{dot}", "机器人为什么去度假？因为它需要充电。|为什么电脑觉得冷？因为有人忘了关“窗户”。"),
    ("[说|出]一个谜语{dot}", "什么东西越洗越脏？水。|什么东西有很多钥匙，却打不开门？钢琴。"),
    ("你会说[中文|英文|英语]吗？|你会说什么语言？", "我会一点中文和英文。I speak a little English, too."),
    ("[可以|你能]帮[帮|]我吗？|我需要帮助{dot}", "当然可以！我可以回答关于{S}的问题，讲小故事，做简单的算术，或者写JSON。"),
    ("写一首[关于月亮|关于大海|关于春天|]的[小|短]诗{dot}|写一首小诗{dot}", "月亮挂在树梢，\n晚风轻轻地笑。\n小河流向远方，\n星星陪它睡觉。|春天来到山坡，\n花儿一朵一朵。\n燕子带回消息，\n小溪唱起新歌。"),
    ("你会做梦吗？|你睡觉吗？", "不会，我是程序，只有收到消息时才工作。"),
    ("[鼓励一下我|给我一点建议]{dot}", "先做一小步，现在就开始，下一步会更容易。"),
)
ZH_UNKNOWN = ("[今天|明天|北京]天气怎么样？", "现在几点[了|]？", "昨天谁赢了比赛？", "今天有什么新闻？", "黄金的价格是多少？", "帮我订一张机票。", "你能上网吗？", "谁是世界上最有钱的人？", "请解释量子场论。", "我应该买股票吗？", "明天的彩票号码是多少？")  # fmt: skip
ZH_UNKNOWN_ANSWERS = ("对不起，我不知道。我是一个小模型，不能上网。[也许可以问问更大的模型。|]", "这个我不会。我可以回答关于{S}的问题，讲小故事，做简单的算术，写清单和JSON。")
SNIPPETS = (
    ("[Write|Show me] a Python function that adds two numbers[.|]|How do I add two numbers in Python?", "```python\ndef add(a, b):\n    return a + b\n```"),
    ("[Write|Show me] a Python function that multiplies two numbers[.|]", "```python\ndef multiply(a, b):\n    return a * b\n```"),
    ("[Write|Show me] [hello world|a hello world program] in Python[.|]|How do I print text in Python?|Print hello world in Python.", "```python\nprint(\"Hello, world!\")\n```"),
    ("[Write|Show me] a [loop|for loop] in Python[.|]|How do I write a loop in Python?", "```python\nfor i in range(5):\n    print(i)\n```"),
    ("[Write|Show me] a Python function that checks [if|whether] a number is even[.|]", "```python\ndef is_even(n):\n    return n % 2 == 0\n```"),
    ("[Write|Show me] a Python function that reverses a string[.|]|How do I reverse a string in Python?", "```python\ndef reverse(text):\n    return text<<::-1>>\n```"),
    ("[Write|Show me] a Python function that returns the [largest|biggest] of a list[.|]", "```python\ndef largest(numbers):\n    return max(numbers)\n```"),
    ("How do I [make|create] a list in Python?", "```python\nfruits = <<\"apple\", \"pear\", \"plum\">>\n```"),
    ("How do I [make|create] a dictionary in Python?", "```python\nages = {\"Anna\": 31, \"Ben\": 27}\nprint(ages<<\"Anna\">>)\n```"),
    ("How do I read a file in Python?", "```python\nwith open(\"notes.txt\") as file:\n    text = file.read()\n```"),
    ("How do I write an if statement in Python?", "```python\nif x > 0:\n    print(\"positive\")\nelse:\n    print(\"not positive\")\n```"),
    ("[写|请写]一个Python函数，把两个数相加。|Python怎么把两个数相加？", "```python\ndef add(a, b):\n    return a + b\n```"),
    ("用Python打印hello world。|用Python写一个hello world。", "```python\nprint(\"Hello, world!\")\n```"),
    ("用Python写一个循环。", "```python\nfor i in range(5):\n    print(i)\n```"),
)

Exchange = tuple[str, str]


def exchange_from(rng: random.Random, table: tuple[Exchange, ...], service: str) -> Exchange:
    """One (question, answer) from a table whose entries separate whole variants by bars."""
    question, answer = rng.choice(table)
    chinese = not question.isascii()
    slots = {"S": service, "dot": rng.choice(("。", "！", "") if chinese else (".", "!", "", ""))}
    return one(rng, split_variants(question), slots), one(rng, split_variants(answer), slots)


def split_variants(text: str) -> list[str]:
    """Splits at the bars that stand outside square brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += {"[": 1, "]": -1}.get(character, 0)
        if character == "|" and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def unknown(rng: random.Random, language: str, service: str) -> Exchange:
    questions, answers = (UNKNOWN, UNKNOWN_ANSWERS) if language == "en" else (ZH_UNKNOWN, ZH_UNKNOWN_ANSWERS)
    return one(rng, questions), one(rng, answers, {"S": service})


def smalltalk_chat(rng: random.Random, service: str) -> Document:
    language = rng.choice(("en", "en", "zh"))
    greetings, talk, closings = (
        (GREETINGS, TALK, CLOSINGS) if language == "en" else (ZH_GREETINGS, ZH_TALK, ZH_CLOSINGS)
    )
    exchanges: list[Exchange] = []
    if rng.random() < 0.6:
        exchanges.append(exchange_from(rng, greetings, service))
    for _ in range(rng.choice((0, 1, 1, 2))):
        beyond = rng.random() < 0.3
        exchange = unknown(rng, language, service) if beyond else exchange_from(rng, talk, service)
        exchanges.append(exchange)
    if rng.random() < 0.5 or not exchanges:
        exchanges.append(exchange_from(rng, closings, service))
    return chat("smalltalk", language, exchanges)


def code_chat(rng: random.Random) -> Document:
    question, answer = exchange_from(rng, SNIPPETS, "")
    return chat("code", "en" if question.isascii() else "zh", [(question, answer)])
