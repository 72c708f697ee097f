# ruff: noqa: E501 - the corpus is prose: a template stays on one line
# fmt: off
"""Small tasks on text: paragraphs, letters, summaries, repeating, rhymes; and what to say when one is too hard."""

import random

from inference.training.corpus.common_words import ENGLISH
from inference.training.corpus.objects import FIRST_NAMES
from inference.training.corpus.stories_robot import FRIENDS, NAMES
from inference.training.documents import Document, chat, raw
from inference.training.grammar import article, expand, one, sentence_case

# What people ask about and the model does not know. Names of things only: no facts are claimed.
UNKNOWN_THINGS = (
    "photosynthesis", "black holes", "the Roman Empire", "inflation", "blockchain", "relativity", "the stock market", "quantum computers", "evolution", "plate tectonics",
    "the French Revolution", "vaccines", "climate change", "jazz", "chess openings", "the human brain", "democracy", "DNA", "volcanoes", "the Silk Road", "Kubernetes", "Django",
    "Docker", "PostgreSQL", "Shakespeare", "Mozart", "Napoleon", "Einstein", "Confucius", "basketball rules", "mortgages", "taxes", "yoga", "sourdough", "wine", "the Olympic Games",
    "transformers", "attention", "reinforcement learning", "regular expressions", "sorting algorithms", "binary trees", "cryptography", "electric cars", "solar panels", "dinosaurs",
    "the Great Wall", "the pyramids", "Mars missions", "philosophy", "the meaning of life", "insulin", "headaches", "the common cold", "calculus", "prime numbers", "linear algebra",
)
UNKNOWN_TASKS = (
    "fix my car", "lose weight", "learn the piano", "bake bread", "write a novel", "build a house", "get a visa", "invest money", "train a dog", "repair a bicycle", "win at chess",
    "make a website", "start a company", "grow tomatoes", "cook pasta", "sleep better", "find a job", "learn French", "write a CV", "plan a wedding", "set up a server", "install Linux",
    "sort a list in Java", "solve this equation", "prepare for an exam", "make sushi", "paint a wall", "travel to Peru", "translate a contract", "file my taxes",
)
ZH_UNKNOWN_THINGS = ("光合作用", "黑洞", "罗马帝国", "通货膨胀", "区块链", "相对论", "股票", "量子计算机", "进化论", "火山", "恐龙", "长城", "金字塔", "哲学", "微积分", "区块链技术", "电动汽车", "孔子", "唐朝", "莎士比亚", "人生的意义", "加密货币", "糖尿病", "人工智能的历史")
ZH_UNKNOWN_TASKS = ("修车", "减肥", "学钢琴", "做面包", "写小说", "盖房子", "办签证", "投资", "训练小狗", "下围棋", "做网站", "开公司", "种西红柿", "做红烧肉", "写简历", "准备考试", "写论文", "找工作")

FALLBACK_QUESTIONS = (
    "[What is|What are|What do you know about|Tell me about|Explain|Can you explain|Write an essay about|Teach me about|Give me a lecture on] {x}[?||.]",
    "[How does|How do] {x} work?", "Why is {x} important?", "[Who invented|Who discovered] {x}?", "[Write|Give me] a [detailed|long] [report|article|text] [on|about] {x}[.|]", "what is {x}", "What do you think about {x}?",
)
FALLBACK_TASKS = ("How [do|can|should] I {y}?", "Help me [to |]{y}[.|]", "[Can|Could] you {y}[ for me|]?", "I want to {y}. [What should I do?|Any tips?|Where do I start?]", "What is the best way to {y}?", "how to {y}")
FALLBACK_ANSWERS = (
    "I am sorry, I know too little about {x}[ to explain it well|]. I am a small model; a larger one can help you with that.",
    "[I cannot say much about|I do not know enough about] {x}. [I was trained on simple synthetic text|I am only a small model], so please ask a larger model.",
    "{X} [is|are] beyond me, I am afraid. I can help with questions about this service, short stories, small sums, lists and JSON.",
)
FALLBACK_TASK_ANSWERS = (
    "I am sorry, I cannot help you [with that|to {y}]. I am a small model, made for trying this service. A larger model will know more.",
    "[To {y} is beyond what I learnt|That is too hard for me], I am afraid. Try a larger model, or ask me for a short story, a list or a small sum.",
)
# Subjects of a paragraph, with three or more plain sentences each; a paragraph is a selection in order.
PARAGRAPHS: dict[str, tuple[str, ...]] = {
    "cats": ("Cats are [small|quiet], [clever|graceful] animals that live with people all over the world.", "They [sleep|rest] for most of the day and are [awake|active] in the evening.", "A cat can see well in the dark and hears the softest sound.", "When it is happy, it purrs."),
    "dogs": ("Dogs are [loyal|friendly] animals and have lived with people for a very long time.", "They need a walk every day, [fresh water|good food] and somebody to play with.", "A dog can learn many words and understands our voices well.", "Some dogs help people who cannot see."),
    "the sea": ("The sea [is wide and deep|covers a large part of the Earth].", "Its colour changes with the sky: blue in the morning, grey before the rain.", "Fish, whales and countless tiny creatures live in it.", "Whoever stands on the beach in the evening can hear the waves breathe."),
    "spring": ("In spring the days grow longer and [warmer|brighter].", "Snow melts, the first flowers open, and the birds come back from the south.", "Farmers [sow their fields|go out to their fields], and children play outside again.", "It is a season of beginnings."),
    "summer": ("Summer is the warmest season of the year.", "The days are long, and the evenings are mild.", "People swim in lakes, eat ice cream and sit outside until late.", "The fields turn yellow and the fruit ripens."),
    "autumn": ("In autumn the leaves turn red, yellow and brown.", "The air is cool, and mist lies over the fields in the morning.", "Apples and pumpkins are [picked|brought in].", "The birds gather and fly south."),
    "winter": ("Winter is cold and [quiet|white].", "The trees are bare, and lakes may freeze.", "Children build snowmen, and at home there is hot tea.", "The nights are long, so the stars seem very near."),
    "books": ("A book is a quiet friend.", "It can take us to far countries without leaving the chair.", "Some books teach us something, others make us laugh or cry.", "The best ones we read again and again."),
    "music": ("Music is [a language without words|something that all people share].", "It can make us dance, or calm us down.", "Some people play an instrument, others like to sing or to listen.", "A good song stays in the mind for years."),
    "rain": ("Rain falls from clouds when the drops in them grow heavy.", "It fills the rivers and gives plants what they need.", "Some people stay indoors, others love to walk in it.", "After the rain the air smells fresh."),
    "the moon": ("The moon travels around the Earth once in about a month.", "It has no light of its own: it shines because the sun lights it.", "Sometimes it is round, sometimes only a thin curve.", "Its pull moves the sea, and so there are tides."),
    "trees": ("Trees are the [tallest|largest] of all plants.", "Their roots drink water, and their leaves catch the light.", "Birds nest in them, and people rest in their shade.", "A tree can grow older than anyone who planted it."),
    "robots": ("A robot is a machine that can sense, decide and move.", "Some robots build cars, others clean floors or explore other planets.", "They do not get tired, but they need power and good instructions.", "People and robots work best together."),
    "friendship": ("A friend is somebody who likes you as you are.", "Friends share good days and bad ones.", "They tell each other the truth, and they can forgive.", "A good friendship grows slowly, like a tree."),
    "the city": ("A city is never quite silent.", "Trams ring, people hurry, and somewhere somebody plays music.", "There are libraries, parks and a hundred kinds of bread.", "At night, thousands of windows shine."),
    "my school": ("My school is an old building with a large garden.", "In the morning we read and write, and in the afternoon we draw or play.", "I like the library best, because it is quiet and full of stories.", "After school I walk home with my friends."),
    "tea": ("Tea is made from leaves and hot water.", "It came from China and is now drunk everywhere.", "Some people like it with milk, others with lemon or with nothing at all.", "A cup of tea is a small rest."),
    "bees": ("Bees live together in large families.", "They fly from flower to flower and gather what they need for honey.", "On the way they help plants to make seeds.", "Without bees there would be far less fruit."),
}
RHYMES = "cat:hat,mat,bat light:night,bright,kite moon:soon,spoon,tune tree:bee,sea,free day:play,way,may star:far,car,jar rain:train,lane,plane house:mouse song:long,strong blue:true,shoe,new sky:fly,high,eye book:cook,look ring:sing,king,wing red:bed,head,bread ball:wall,tall,small fish:wish,dish dog:fog,log snow:slow,know,go"
PLACES = ("the market", "the library", "the harbour", "the museum", "the park", "the station", "the old bridge", "the school", "the theatre", "the lake")
ACTS = ("bought a book", "drank coffee", "listened to a concert", "took photographs", "talked for hours", "ate soup", "fed the ducks", "played chess", "planned a trip", "looked at the ships")
WEATHER = ("The sun was shining", "It rained a little", "The air was cold", "A strong wind blew", "It was a warm day", "Snow was falling")
LETTERS = (
    ("[Write|Draft] [a short|an] email [to thank|thanking] {n}[ for the help|].", "Subject: Thank you\n\nDear {n},\n\nThank you [very much|so much] for your help[ this week|]. I [am very grateful|appreciate it].\n\n[Best regards|Kind regards]"),
    ("[Write|Draft] [a short|an] email inviting {n} to [lunch|dinner|a party].", "Subject: [Invitation|An invitation]\n\nDear {n},\n\nWould you like to [come to lunch|have dinner with us] on {d}? [I would be glad to see you|We would be happy if you came].\n\n[Best regards|Kind regards]"),
    ("[Write|Draft] [a short|an] email telling {n} that the meeting is on {d}.", "Subject: Meeting on {d}\n\nDear {n},\n\nOur meeting will be on {d}. Please tell me if that does not suit you.\n\n[Best regards|Kind regards]"),
    ("[Write|Draft] [a short|an] email [to say sorry|apologising] to {n}.", "Subject: My apologies\n\nDear {n},\n\nI am sorry [for the delay|that I am late with my answer]. It will not happen again.\n\n[Best regards|Kind regards]"),
)
ECHO_WORDS = (*FIRST_NAMES, *NAMES, *FRIENDS, *ENGLISH.split()[::3])
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def fallback(rng: random.Random) -> Document:
    if rng.random() < 0.35:
        return _chinese_fallback(rng)
    if rng.random() < 0.5:
        x = rng.choice(UNKNOWN_THINGS)
        plural = x.endswith("s") and not x.endswith("sis") and not x[0].isupper()
        answer = one(rng, FALLBACK_ANSWERS, {"x": x, "X": sentence_case(x)}).replace(" is beyond" if plural else " are beyond", " are beyond" if plural else " is beyond")
        return chat("fallback", "en", [(one(rng, FALLBACK_QUESTIONS, {"x": x}), answer)], f"fallback:{x}")
    y = rng.choice(UNKNOWN_TASKS)
    question = sentence_case(one(rng, FALLBACK_TASKS, {"y": y}))
    return chat("fallback", "en", [(question, one(rng, FALLBACK_TASK_ANSWERS, {"y": y}))], f"fallback:{y}")


def _chinese_fallback(rng: random.Random) -> Document:
    if rng.random() < 0.6:
        x = rng.choice(ZH_UNKNOWN_THINGS)
        question = one(rng, ("什么是{x}？", "[请|]解释一下{x}。", "[请|]介绍一下{x}。", "你知道{x}吗？", "{x}是什么？", "[请|]写一篇关于{x}的文章。"), {"x": x})
        answer = one(rng, ("[对不起|抱歉]，我对{x}了解太少，讲不清楚。我是一个小模型，可以问问更大的模型。", "我不太懂{x}。我可以回答关于这个服务的问题，讲小故事，做简单的算术，写清单和JSON。"), {"x": x})
        return chat("fallback", "zh", [(question, answer)], f"fallback:{x}")
    y = rng.choice(ZH_UNKNOWN_TASKS)
    question = one(rng, ("[怎么|如何|怎样]{y}？", "我想{y}，[怎么办？|应该怎么做？]", "[可以|能]教我{y}吗？"), {"y": y})
    answer = one(rng, ("[对不起|抱歉]，我不会{y}。我是一个小模型，只适合试用这个服务，更大的模型会知道得更多。", "{y}对我来说太难了。你可以让我讲一个小故事，或者列一个清单。"), {"y": y})
    return chat("fallback", "zh", [(question, answer)], f"fallback:{y}")


def paragraph(rng: random.Random) -> tuple[str, str]:
    """(subject, text): two to four sentences in their order."""
    subject = rng.choice(sorted(PARAGRAPHS))
    sentences = PARAGRAPHS[subject]
    kept = sorted(rng.sample(range(1, len(sentences)), rng.randint(1, len(sentences) - 1)))
    return subject, " ".join(expand(rng, sentences[i]) for i in [0, *kept])


def paragraph_chat(rng: random.Random) -> Document:
    subject, text = paragraph(rng)
    question = one(rng, ("[Write|Please write|Can you write] [a|one] [short |]paragraph about {x}[.|]", "[Tell me|Write] [something|a few sentences] about {x}.", "Describe {x}[ in a few sentences|].", "[Write|Say] a few words about {x}."), {"x": subject})
    return chat("task", "en", [(question, text)], f"paragraph:{question}")


def letter_chat(rng: random.Random) -> Document:
    slots = {"n": rng.choice(FIRST_NAMES), "d": rng.choice(DAYS)}
    question, answer = rng.choice(LETTERS)
    return chat("task", "en", [(expand(rng, question, slots), expand(rng, answer, slots))], f"letter:{slots['n']}")


def summary_chat(rng: random.Random) -> Document:
    first, second = rng.sample(FIRST_NAMES, 2)
    place, day, act, weather = rng.choice(PLACES), rng.choice(DAYS), rng.choice(ACTS), rng.choice(WEATHER)
    text = f"On {day}, {first} went to {place}. {weather}. There {first} met {second}, and together they {act}. In the evening they took the bus home."
    forms = (f"{first} and {second} met at {place} on {day} and {act}.", f"On {day}, {first} met {second} at {place}, where they {act}.")
    question = one(rng, ("[Summarise|Summarize] [this|this text|the text][ in one sentence|]: {t}", "{t}\n\n[Summarise this|Summarize the text|Give me a short summary|What is it about?]", "[Make this shorter|TL;DR|Give me a short summary]: {t}"), {"t": text})
    return chat("task", "en", [(question, rng.choice(forms))], f"summary:{first}:{second}")


def echo(rng: random.Random) -> Document:
    """Words in random order, twice: nothing teaches copying, and so keeping to a name, as directly."""
    words = rng.sample(ECHO_WORDS, rng.randint(3, 24))
    text = rng.choice((" ", ", ", "\n")).join(words)
    form = rng.random()
    if form < 0.3:
        return chat("echo", "en", [(expand(rng, "[Repeat|Copy|Say again|Repeat these words]: ") + text, text)], f"echo:{words[0]}:{words[1]}")
    if form < 0.45:
        first, second = rng.sample(words, 2)
        answer = words[words.index(first) + 1] if first != words[-1] else None
        if answer is not None and "\n" not in text:
            return chat("echo", "en", [(f"{text}\n\nWhich word comes after {first}?", sentence_case(answer) + ".")], f"echo:{first}:{second}")
    return raw("echo", "en", rng.choice(("\n\n", "\n", " | ")).join([text] * rng.choice((2, 2, 3))), f"echo:{words[0]}:{words[1]}")


def repeat_chat(rng: random.Random) -> Document:
    sentence = one(rng, (f"{rng.choice(FIRST_NAMES)} [likes|sees|wants|has] {article(rng.choice(('lamp', 'red kite', 'old boat', 'green hat', 'small dog', 'piano')))}.", f"The [cat|dog|owl|robot|moon] [sings|sleeps|waits|shines] [in|near|behind] {rng.choice(PLACES)}."))
    if rng.random() < 0.3:
        word = rng.choice(("lamp", "river", "garden", "robot", "planet", "music", "winter", "token", "model", "apple"))
        return chat("task", "en", [(f'Spell the word "{word}".', "-".join(word.upper()))], f"spell:{word}")
    if rng.random() < 0.4:
        upper = rng.random() < 0.5
        question = f"[Write|Put] this in {'capital letters' if upper else 'lower case'}: {sentence}"
        return chat("task", "en", [(expand(rng, question), sentence.upper() if upper else sentence.lower())], f"repeat:{sentence}")
    return chat("task", "en", [(expand(rng, f"[Repeat|Repeat after me|Say|Copy]: {sentence}"), sentence)], f"repeat:{sentence}")


def rhyme_chat(rng: random.Random) -> Document:
    word, rhymes = rng.choice(RHYMES.split()).split(":")
    rhyme = rng.choice(rhymes.split(","))
    question = one(rng, ("What rhymes with {w}?", "[Find|Give me|Tell me] a word that rhymes with {w}.", "A rhyme for {w}[, please|]?"), {"w": word})
    return chat("task", "en", [(question, f"{sentence_case(rhyme)} rhymes with {word}.")], f"rhyme:{question}")


def task_chat(rng: random.Random) -> Document:
    makers = (paragraph_chat, paragraph_chat, letter_chat, summary_chat, repeat_chat, rhyme_chat)
    return rng.choice(makers)(rng)
