# ruff: noqa: E501 - the corpus is prose: a template stays on one line
# fmt: off
"""Lists, opposites, capitals, days and other small facts, translations, in English and Chinese."""

import random

from inference.training.corpus.sums import NUMBER_WORDS
from inference.training.documents import Document, chat, raw
from inference.training.grammar import one, sentence_case

# English plural name, Chinese name, members as "english:chinese".
CATEGORIES: dict[str, tuple[str, str]] = {
    "fruits": ("水果", "apples:苹果 bananas:香蕉 oranges:橙子 pears:梨 grapes:葡萄 cherries:樱桃 plums:李子 peaches:桃子 strawberries:草莓 lemons:柠檬 melons:甜瓜 mangoes:芒果"),
    "vegetables": ("蔬菜", "carrots:胡萝卜 tomatoes:西红柿 potatoes:土豆 onions:洋葱 cabbage:白菜 spinach:菠菜 peas:豌豆 beans:豆角 cucumbers:黄瓜 pumpkins:南瓜"),
    "animals": ("动物", "dogs:狗 cats:猫 horses:马 cows:牛 sheep:羊 rabbits:兔子 tigers:老虎 lions:狮子 elephants:大象 monkeys:猴子 bears:熊 foxes:狐狸"),
    "birds": ("鸟", "sparrows:麻雀 eagles:老鹰 owls:猫头鹰 swans:天鹅 ducks:鸭子 geese:鹅 penguins:企鹅 parrots:鹦鹉"),
    "colours": ("颜色", "red:红色 blue:蓝色 green:绿色 yellow:黄色 black:黑色 white:白色 purple:紫色 orange:橙色 brown:棕色 grey:灰色 pink:粉色"),
    "colors": ("颜色", "red:红色 blue:蓝色 green:绿色 yellow:黄色 black:黑色 white:白色 purple:紫色 orange:橙色 brown:棕色 gray:灰色 pink:粉色"),
    "countries": ("国家", "China:中国 France:法国 Germany:德国 Japan:日本 Brazil:巴西 Canada:加拿大 Italy:意大利 Spain:西班牙 Egypt:埃及 India:印度 Mexico:墨西哥"),
    "cities": ("城市", "Beijing:北京 Paris:巴黎 London:伦敦 Tokyo:东京 Berlin:柏林 Madrid:马德里 Rome:罗马 Cairo:开罗 Shanghai:上海 Vienna:维也纳"),
    "planets": ("行星", "Mercury:水星 Venus:金星 Earth:地球 Mars:火星 Jupiter:木星 Saturn:土星 Uranus:天王星 Neptune:海王星"),
    "seasons": ("季节", "spring:春天 summer:夏天 autumn:秋天 winter:冬天"),
    "drinks": ("饮料", "water:水 tea:茶 coffee:咖啡 milk:牛奶 juice:果汁 lemonade:柠檬水 cocoa:可可"),
    "sports": ("运动", "football:足球 basketball:篮球 tennis:网球 swimming:游泳 running:跑步 cycling:骑自行车 skiing:滑雪 badminton:羽毛球"),
    "instruments": ("乐器", "piano:钢琴 violin:小提琴 guitar:吉他 flute:笛子 drum:鼓 trumpet:小号 harp:竖琴"),
    "flowers": ("花", "roses:玫瑰 tulips:郁金香 lilies:百合 daisies:雏菊 sunflowers:向日葵 orchids:兰花 peonies:牡丹"),
    "languages": ("语言", "English:英语 Chinese:汉语 French:法语 German:德语 Spanish:西班牙语 Japanese:日语 Italian:意大利语"),
    "jobs": ("职业", "teacher:老师 doctor:医生 nurse:护士 farmer:农民 baker:面包师 driver:司机 engineer:工程师 cook:厨师 painter:画家"),
    "shapes": ("形状", "circle:圆形 square:正方形 triangle:三角形 star:星形 oval:椭圆形 rectangle:长方形"),
    "trees": ("树", "oak:橡树 pine:松树 birch:桦树 willow:柳树 maple:枫树 bamboo:竹子"),
    "programming languages": ("编程语言", "Python:Python Java:Java C:C Rust:Rust JavaScript:JavaScript Go:Go Ruby:Ruby"),
    "vehicles": ("交通工具", "car:汽车 bus:公共汽车 train:火车 bicycle:自行车 ship:船 plane:飞机 truck:卡车"),
    "tools": ("工具", "hammer:锤子 saw:锯子 knife:刀 screwdriver:螺丝刀 brush:刷子 spade:铲子"),
    "rooms": ("房间", "kitchen:厨房 bedroom:卧室 bathroom:浴室 living room:客厅 study:书房"),
}  # fmt: skip
COUNTED_WITH_GE = ("countries", "cities", "planets", "seasons", "rooms")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")  # fmt: skip
CHINESE_DAYS = ("星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日")
CHINESE_NUMBERS = ("零", "一", "两", "三", "四", "五", "六", "七", "八", "九", "十")
OPPOSITES = "hot:cold big:small tall:short fast:slow early:late open:closed full:empty happy:sad old:new light:dark loud:quiet wet:dry hard:soft rich:poor strong:weak clean:dirty near:far high:low day:night up:down left:right inside:outside begin:end buy:sell give:take love:hate remember:forget laugh:cry brave:afraid easy:difficult heavy:light thick:thin wide:narrow young:old true:false"
CHINESE_OPPOSITES = "大:小 高:低 快:慢 热:冷 多:少 长:短 新:旧 黑:白 上:下 左:右 早:晚 远:近 轻:重 开:关 好:坏 胖:瘦 干净:脏 高兴:难过 安静:吵闹 简单:复杂"
CAPITALS = "France:Paris:法国:巴黎 Germany:Berlin:德国:柏林 Italy:Rome:意大利:罗马 Spain:Madrid:西班牙:马德里 Japan:Tokyo:日本:东京 China:Beijing:中国:北京 England:London:英国:伦敦 Egypt:Cairo:埃及:开罗 Russia:Moscow:俄罗斯:莫斯科 Canada:Ottawa:加拿大:渥太华 Austria:Vienna:奥地利:维也纳 Greece:Athens:希腊:雅典 Poland:Warsaw:波兰:华沙 Portugal:Lisbon:葡萄牙:里斯本 Sweden:Stockholm:瑞典:斯德哥尔摩 Norway:Oslo:挪威:奥斯陆 Finland:Helsinki:芬兰:赫尔辛基 Denmark:Copenhagen:丹麦:哥本哈根 India:New_Delhi:印度:新德里 Korea:Seoul:韩国:首尔 Thailand:Bangkok:泰国:曼谷 Australia:Canberra:澳大利亚:堪培拉 Brazil:Brasília:巴西:巴西利亚 Ireland:Dublin:爱尔兰:都柏林 Hungary:Budapest:匈牙利:布达佩斯 Vietnam:Hanoi:越南:河内"
WORDS = "hello:你好 thank_you:谢谢 goodbye:再见 please:请 friend:朋友 water:水 book:书 house:房子 school:学校 teacher:老师 student:学生 sun:太阳 moon:月亮 star:星星 sky:天空 sea:大海 river:河 mountain:山 tree:树 flower:花 bird:鸟 fish:鱼 dog:狗 cat:猫 rain:雨 snow:雪 wind:风 fire:火 bread:面包 rice:米饭 tea:茶 milk:牛奶 apple:苹果 mother:妈妈 father:爸爸 brother:兄弟 sister:姐妹 child:孩子 city:城市 road:路 door:门 window:窗户 table:桌子 chair:椅子 computer:电脑 music:音乐 song:歌 story:故事 dream:梦 time:时间 today:今天 tomorrow:明天 yesterday:昨天 love:爱 happy:高兴 beautiful:美丽 robot:机器人 planet:行星 key:钥匙 money:钱 letter:信 question:问题 answer:答案 model:模型 language:语言"
SENTENCES = "I like tea.:我喜欢茶。|Good morning.:早上好。|Good night.:晚安。|How are you?:你好吗？|I am fine.:我很好。|What is your name?:你叫什么名字？|My name is Lily.:我叫莉莉。|Where is the library?:图书馆在哪里？|The weather is nice today.:今天天气很好。|I am learning Chinese.:我在学习中文。|She is my friend.:她是我的朋友。|He reads a book.:他在看书。|I love music.:我爱音乐。|The cat is sleeping.:猫在睡觉。|We are going home.:我们回家。|It is raining.:下雨了。|I do not understand.:我不明白。|Thank you very much.:非常感谢。|See you tomorrow.:明天见。|How much is it?:多少钱？|The moon is bright.:月亮很亮。|I want to drink water.:我想喝水。|This book is interesting.:这本书很有意思。|The robot is curious.:机器人很好奇。"
FACTS = (
    ("How many days [are there in|does|has] a week[ have|]?", "A week has seven days."),
    ("How many months are in a year?", "A year has twelve months."),
    ("How many hours [are in|has] a day?", "A day has 24 hours."),
    ("How many minutes are in an hour?", "An hour has 60 minutes."),
    ("How many seconds are in a minute?", "A minute has 60 seconds."),
    ("How many legs does a spider have?", "A spider has eight legs."),
    ("How many legs does [a dog|a cat|a horse] have?", "It has four legs."),
    ("What colour is [the sky|the sky on a clear day]?", "On a clear day the sky is blue."),
    ("What colour is grass?", "Grass is green."),
    ("Why is the sky blue?", "Air scatters blue light more than red light, so blue light reaches our eyes from every side of the sky."),
    ("[Why does it rain|Where does rain come from]?", "The sun warms water and some of it rises as vapour. High in the air it cools, forms clouds and falls as rain."),
    ("What do bees make?", "Bees make honey."),
    ("What is ice?", "Ice is frozen water."),
    ("At what temperature does water boil?", "At sea level, water boils at 100 degrees Celsius."),
    ("What is the largest planet?", "Jupiter is the largest planet of our solar system."),
    ("What is the largest ocean?", "The Pacific is the largest ocean."),
    ("Which planet do we live on?", "We live on the Earth."),
    ("What is the sun?", "The sun is a star. It gives the Earth light and warmth."),
    ("What is the moon?", "The moon is a ball of rock that travels around the Earth."),
    ("What is gravity?", "Gravity is the force that pulls things towards each other. It keeps our feet on the ground."),
    ("What is a computer?", "A computer is a machine that follows instructions and works with data very fast."),
    ("What is a robot?", "A robot is a machine that can sense, decide and move, usually to do a task for people."),
    ("What is a language model?", "A language model is a program that has learnt from text which token is likely to come next, and so can write."),
    ("What is an API?", "An API is a way for programs to talk to each other: one sends a request, the other answers."),
    ("What is [machine learning|ML]?", "Machine learning means that a program learns from examples instead of following fixed rules."),
    ("What is Python?", "Python is a popular programming language that is easy to read."),
    ("What is JSON?", "JSON is a simple text format for data, made of objects, lists, strings, numbers, true, false and null."),
    ("What is a GPU?", "A GPU is a processor that does many small calculations at once; language models run fast on it."),
    ("一个星期有几天？", "一个星期有七天。"), ("一年有几个月？", "一年有十二个月。"), ("一天有多少小时？", "一天有24小时。"),
    ("一小时有多少分钟？", "一小时有60分钟。"), ("天空是什么颜色？", "晴天的天空是蓝色的。"), ("蜜蜂做什么？", "蜜蜂采花酿蜜。"),
    ("最大的行星是哪个？", "木星是太阳系里最大的行星。"), ("太阳是什么？", "太阳是一颗恒星，给地球带来光和热。"), ("月亮是什么？", "月亮是绕着地球转的天体。"),
    ("为什么会下雨？", "太阳把水晒热，水变成水汽升到空中，遇冷成云，再变成雨落下来。"), ("水多少度会沸腾？", "在海平面，水在100摄氏度沸腾。"),
    ("什么是语言模型？", "语言模型是从文字中学会预测下一个词元的程序，所以它能写字。"), ("什么是API？", "API是程序之间对话的方式：一方发出请求，另一方回答。"),
    ("什么是机器学习？", "机器学习就是让程序从例子中学习，而不是只按固定的规则做事。"), ("什么是JSON？", "JSON是一种简单的数据文本格式，由对象、列表、字符串和数字组成。"),
    ("什么是GPU？", "GPU是一种能同时做许多小计算的处理器，语言模型在上面运行得很快。"),
)  # fmt: skip


def pairs(table: str) -> list[list[str]]:
    return [entry.replace("_", " ").split(":") for entry in table.split()]


def members(category: str) -> list[list[str]]:
    entries = CATEGORIES[category][1].split(" ")
    joined: list[str] = []
    for entry in entries:  # "living room:客厅" holds a space of its own
        if joined and ":" not in joined[-1]:
            joined[-1] += " " + entry
        else:
            joined.append(entry)
    return [entry.split(":") for entry in joined]


def from_somewhere(rng: random.Random, names: list[str], count: int) -> list[str]:
    """Some names in their own order, round and round.

    So each follows from the one before it: a small model learns that, and does not repeat itself.
    """
    start = rng.randrange(len(names))
    return [names[(start + step) % len(names)] for step in range(count)]


def english_list(rng: random.Random) -> tuple[str, str, str]:
    """(key, question, answer): "List three fruits" and its kin."""
    category = rng.choice(sorted(CATEGORIES))
    names = [english for english, _ in members(category)]
    count = rng.randint(2, min(6, len(names)))
    number = rng.choice((NUMBER_WORDS[count], str(count)))
    chosen = from_somewhere(rng, names, count)
    question = one(rng, ("[List|Name|Give me|Tell me|Write down|Please list|Can you name] {n} {c}[.||.]", "What are {n} {c}?", "I need [a list of |]{n} {c}."), {"n": number, "c": category})
    if rng.random() < 0.6:
        answer = "\n".join(f"{i}. {sentence_case(name)}" for i, name in enumerate(chosen, start=1))
    else:
        answer = sentence_case(", ".join(chosen[:-1]) + f" and {chosen[-1]}.")
    return f"list:{category}:{count}", question, answer


def chinese_list(rng: random.Random) -> tuple[str, str, str]:
    category = rng.choice(sorted(CATEGORIES))
    chinese_name = CATEGORIES[category][0]
    names = [chinese for _, chinese in members(category)]
    count = rng.randint(2, min(6, len(names)))
    chosen = from_somewhere(rng, names, count)
    number = rng.choice((CHINESE_NUMBERS[count], str(count)))
    measure = "个" if category in COUNTED_WITH_GE else "种"
    question = one(rng, ("[列出|说出|请列出|请说出|写出|告诉我]{n}{m}{c}。", "[请|]给我{n}{m}{c}的名字。"), {"n": number, "m": measure, "c": chinese_name})
    if rng.random() < 0.6:
        answer = "\n".join(f"{i}. {name}" for i, name in enumerate(chosen, start=1))
    else:
        answer = "、".join(chosen) + "。"
    return f"list-zh:{category}:{count}", question, answer


def list_chat(
    rng: random.Random, languages: tuple[str, ...] = ("en", "en", "zh")
) -> Document:
    language = rng.choice(languages)
    key, question, answer = (english_list if language == "en" else chinese_list)(rng)
    return chat("list", language, [(question, answer)], key)


def fact_exchange(rng: random.Random) -> tuple[str, str, str]:
    """(language, question, answer) of one small fact."""
    makers = (_opposite, _capital, _day, _fact, _fact, _word, _sentence)
    return rng.choice(makers)(rng)


def fact_chat(rng: random.Random) -> Document:
    exchanges = [fact_exchange(rng) for _ in range(rng.choice((1, 1, 2, 3)))]
    languages = {language for language, _, _ in exchanges}
    language = "en" if languages == {"en"} else "zh"
    return chat("fact", language, [(q, a) for _, q, a in exchanges])


def fact_page(rng: random.Random) -> Document:
    """Raw questions and answers, the form that plain completion prompts often have."""
    labels = rng.choice((("Q: ", "A: "), ("Question: ", "Answer: "), ("问：", "答：")))
    wanted = "zh" if labels[0] == "问：" else "en"
    lines: list[str] = []
    while len(lines) < rng.randint(1, 5):
        language, question, answer = fact_exchange(rng)
        if language == wanted:
            lines.append(f"{labels[0]}{question}\n{labels[1]}{answer}")
    return raw("fact", wanted, rng.choice(("\n", "\n\n")).join(lines))


def _opposite(rng: random.Random) -> tuple[str, str, str]:
    if rng.random() < 0.35:
        first, second = rng.sample(rng.choice(pairs(CHINESE_OPPOSITES)), 2)
        return "zh", one(rng, ("“{a}”的反义词是什么？", "{a}的反义词是什么？"), {"a": first}), f"“{first}”的反义词是“{second}”。"
    first, second = rng.sample(rng.choice(pairs(OPPOSITES)), 2)
    question = one(rng, ("What is the opposite of {a}?", "What is the opposite of \"{a}\"?", "Opposite of {a}?"), {"a": first})
    return "en", question, f"The opposite of {first} is {second}."


def _capital(rng: random.Random) -> tuple[str, str, str]:
    country, city, zh_country, zh_city = rng.choice(pairs(CAPITALS))
    if rng.random() < 0.35:
        return "zh", one(rng, ("{a}的首都是哪里？", "{a}的首都是什么？", "{a}的首都在哪里？"), {"a": zh_country}), f"{zh_country}的首都是{zh_city}。"
    question = one(rng, ("What is the capital of {a}?", "[Which city is|Name|Tell me] the capital of {a}[?|.]", "capital of {a}"), {"a": country})
    return "en", question, f"The capital of {country} is {city}."


def _day(rng: random.Random) -> tuple[str, str, str]:
    kind = rng.random()
    if kind < 0.25:
        i = rng.randrange(7)
        if rng.random() < 0.5:
            return "zh", f"{CHINESE_DAYS[i]}后面是星期几？", f"{CHINESE_DAYS[i]}后面是{CHINESE_DAYS[(i + 1) % 7]}。"
        return "zh", "一个星期有哪几天？", "、".join(CHINESE_DAYS) + "。"
    names, word = rng.choice(((DAYS, "day"), (MONTHS, "month")))
    i = rng.randrange(len(names))
    if kind < 0.5:
        return "en", one(rng, (f"Which {word} comes after {names[i]}?", f"What {word} is after {names[i]}?")), f"{names[(i + 1) % len(names)]} comes after {names[i]}."
    if kind < 0.75:
        return "en", one(rng, (f"Which {word} comes before {names[i]}?", f"What {word} is before {names[i]}?")), f"{names[i - 1]} comes before {names[i]}."
    question = one(rng, ("[List|Name|What are] the days of the week[.|?]",)) if word == "day" else one(rng, ("[List|Name|What are] the months of the year[.|?]",))
    return "en", question, ", ".join(names[:-1]) + f" and {names[-1]}."


def _fact(rng: random.Random) -> tuple[str, str, str]:
    question, answer = rng.choice(FACTS)
    return ("en" if question.isascii() else "zh"), one(rng, (question,)), answer


def _word(rng: random.Random) -> tuple[str, str, str]:
    english, chinese = rng.choice(pairs(WORDS))
    if rng.random() < 0.5:
        return "zh", one(rng, ('[Translate "{a}" into Chinese.|How do you say "{a}" in Chinese?|What is "{a}" in Chinese?|“{a}”用中文怎么说？|把“{a}”翻译成中文。]',), {"a": english}), f"{chinese}"
    return "zh", one(rng, ('[Translate “{a}” into English.|What does “{a}” mean in English?|“{a}”用英语怎么说？|把“{a}”翻译成英文。|“{a}”的英文是什么？]',), {"a": chinese}), english


def _sentence(rng: random.Random) -> tuple[str, str, str]:
    english, chinese = rng.choice(SENTENCES.split("|")).split(":")
    if rng.random() < 0.5:
        return "zh", one(rng, ("[Translate into Chinese: {a}|Translate to Chinese: {a}|翻译成中文：{a}|把这句话翻译成中文：{a}]",), {"a": english}), chinese
    return "zh", one(rng, ("[Translate into English: {a}|Translate to English: {a}|翻译成英文：{a}|把这句话翻译成英文：{a}]",), {"a": chinese}), english
