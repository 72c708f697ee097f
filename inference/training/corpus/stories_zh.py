# ruff: noqa: E501 - the corpus is prose: a template stays on one line
# fmt: off
"""Short stories in Chinese: robots on planets, and animals and children at home."""

import random

from inference.training.corpus.stories_robot import Plot
from inference.training.documents import Document, chat, raw
from inference.training.grammar import one

ROBOT_NAMES = ("小铁", "豆豆", "星星", "圆圆", "阿波", "小雷", "叮当", "飞飞", "小银", "米洛", "诺诺", "皮皮")
PLANETS = ("蓝沙星", "铃声星", "绿月星", "云海星", "水晶星", "米拉星", "金叶星", "雾光星", "双月星", "诺亚星")
FRIENDS = ("咕咕", "波波", "乌拉", "小绒", "叶叶", "嘟嘟", "毛球", "莉莉")
HEROES = ("小兔子", "小狐狸", "小猫", "小熊", "小松鼠", "小女孩", "小男孩", "小乌龟", "小刺猬", "小龙", "老渔夫", "小象")
HERO_NAMES = ("小白", "阿亮", "朵朵", "乐乐", "安安", "小石", "小雨", "果果", "阿木", "晨晨")
HELPERS = ("一只老猫头鹰", "一位提着灯的老奶奶", "一只聪明的乌鸦", "一个安静的男孩", "一只小麻雀", "一位过路的音乐家")
TRAITS = {
    "勇敢": "大家都说它什么都不怕，其实它有时也会害怕。", "好奇": "它每天都有问不完的问题。", "害羞": "它说话的声音很小很小。",
    "孤独": "它什么都有，只是没有朋友。", "善良": "谁需要帮助，它都会伸出手。", "聪明": "什么难题它都想试一试。", "胖胖的": "它最喜欢吃点心，走得很慢。", "爱笑": "它从早到晚都在唱歌。",
}  # fmt: skip
PLACES = ("森林边上", "大海旁边的小屋里", "两座山之间的村子里", "一条慢慢流的小河边", "一座老磨坊里", "雪山脚下", "开满花的山谷里")
SKIES = ("粉红色的", "紫色的，飘着金色的云", "淡绿色的", "橙色的，像熟透的橘子", "深蓝色的，挂着两个月亮")
GROUNDS = ("柔软的蓝色苔藓", "温暖的红色沙子", "闪光的小石子", "银色的细沙", "白色的圆石头", "高高的紫色的草")

ROBOT_OPENINGS = (
    "[从前|很久以后]，有一个[好奇的|小小的|可爱的]机器人，名叫{N}。[一天|一个安静的早晨]，它的飞船[轻轻地|慢慢地]降落在一颗[陌生的|遥远的|新的]行星上，这颗行星叫{P}。",
    "{N}是一个[好奇的|勇敢的]机器人，它的任务是探索新的世界。[飞了三年以后|经过长长的旅行]，它终于看到了{P}。“[太美了|终于到了]！”{N}说，“[下面有什么呢|我要去看一看]？”",
    "飞船的门打开了，机器人{N}[好奇地|小心地]走了出来。这里是{P}，[从来没有人来过|地图上什么也没有]。“那就让我来画地图吧。”{N}说。",
)
ROBOT_SCENES = (
    "天空是{sky}，地上铺满了{ground}。{N}[拍了一张照片|写下第一行笔记]，[继续往前走|慢慢地往前走]。",
    "它抬头看，天空是{sky}；它低头看，脚下是{ground}。[这里和家乡完全不一样|一切都很新鲜]。",
)
ROBOT_PLOTS = (
    Plot("storm", ("[忽然|突然]刮起了大风，一场沙暴来了，飞船却在很远的地方。",), ("{N}想跑回去，可是风太大，它摔倒了[两次|好几次]。",),
         ("这时，地上钻出一只小动物，它叫{F}。{F}带着{N}躲进温暖的地洞，里面坐着它的一家。它们围着发光的石头，一起等风停下来。{N}给它们讲了星星的故事。",)),
    Plot("battery", ("走着走着，{N}胸口的红灯亮了：电池快没电了，太阳也快下山了。",), ("它往飞船走，可是越走越慢，最后停在了山脚下。",),
         ("这时，身边的花开始发光。一个叫{F}的小家伙把一片叶子放在它的手臂上，温暖的电流进了它的身体。红灯变成了绿灯，{N}高兴地跳起舞来。",)),
    Plot("lost", ("[天黑了|起雾了]，{N}发现自己的脚印不见了，它迷路了。",), ("它向左走，是悬崖；向右走，是湖水。它呼叫飞船，也没有回答。",),
         ("{N}没有放弃。它抬头看着星星，给每一颗亮星起了名字，画出了一张星图。一只会发光的甲虫{F}也来帮忙，在前面带路。[天亮的时候|半夜]，它们终于找到了飞船。",)),
    Plot("lonely", ("在一片大叶子下面，{N}听到了哭声。那里坐着一个小小的生物，它和家人走散了。",), ("{N}不懂它的语言，试了音乐和灯光，都没有用。",),
         ("于是{N}只是安静地坐在它身边。过了一会儿，小家伙小声说：“{F}。”这是它的名字。{N}把{F}举到肩膀上，远处有一盏灯在挥动，那是它的家人！",)),
    Plot("machine", ("山脚下有一台很旧的机器，上面长满了草，周围的土地又干又灰。",), ("{N}按了所有的按钮，机器一动也不动。",),
         ("{N}想了想，从自己的工具箱里拿出一个齿轮装了上去。机器响了起来：“早上好，我叫{F}，我睡了一千年。”水又流动了，到了晚上，第一片绿叶长了出来。",)),
    Plot("gift", ("{N}在山洞里看见一块闪光的石头，它想把石头带回家。可是它刚拿起来，整个山谷就暗了。",), ("几只小动物看着它，眼睛里很难过，却没有生气。",),
         ("{N}明白了，这是大家的灯。它把石头轻轻放了回去，光又回来了。一个叫{F}的小家伙送给它一颗种子。“东西很美，不一定要属于我。”{N}说。",)),
)  # fmt: skip
ROBOT_ENDINGS = (
    "要离开的时候，{N}回头挥了挥手。它是来研究行星的，却找到了一个朋友。“我还会回来的。”它说。飞船升上了星空。",
    "那天晚上，{N}给家里发了一条消息：“{P}很美，我的问题比以前更多了，请让我多留几天。”回答很快就来了：“好的，{N}，替我们好好探索吧。”",
    "回到飞船，{N}在日记里写道：“最好的发现不是东西，而是朋友。”然后它关了灯，[等着明天的太阳|做了一个好梦]。",
    "从那以后，{N}每到一个新的地方，都会先说一声“你好”。因为它知道，好奇心和善良是最好的工具。",
)
OPENINGS = (
    "从前，{place}住着一只[很|非常]{t}的{k}，名叫{N}。{trait}", "{place}有一只{k}，它叫{N}，是村里最{t}的。{trait}", "很久以前，{N}是一只{t}的{k}，住在{place}。{trait}",
)
PLOTS = (
    Plot("lost", ("一天，风把{N}最喜欢的[帽子|围巾|风筝]吹走了，飞过了屋顶，不见了。",), ("{N}找遍了每一个角落，还是没有找到，它难过得哭了。",),
         ("路上它遇到了{H}。“别哭，跟我来。”它们走到一棵大树下，原来那东西挂在树枝上，里面睡着三只小鸟。{N}看了很久，笑着说：“它们比我更需要它。”",)),
    Plot("storm", ("一个晚上，下起了大雨，雷声很响，河水涨了起来。",), ("{N}听到远处有人喊救命。它很害怕，它的灯也很小。",),
         ("可是它还是走了出去，一步一步，把灯举得高高的。倒下的树旁边坐着{H}，又冷又湿。{N}把客人带回家，生了火，煮了汤。第二天早上，雨停了，天空又蓝又亮。",)),
    Plot("race", ("春天到了，村里要举行一场比赛，第一名可以得到一个银杯。",), ("大家笑{N}：“你也要参加？”{N}没有说话，每天早上都去练习。",),
         ("比赛那天，{N}快到终点的时候，看见{H}摔倒在路边。它停了下来，扶起对方，最后没有得到银杯。可是晚上，大家都来到它的家，送给它一顶花环，说：“你才是最棒的。”",)),
    Plot("stranger", ("一天夜里，有人偷吃了园子里的苹果。大家都说来了怪物。",), ("{N}也有点怕，但它想知道真相，就躲在木桶后面等着。",),
         ("月亮升起来了，来的是{H}，又饿又不好意思。“你为什么不开口要呢？”{N}问。“我以为没有人会答应。”{N}端来了热汤，第二天，它们一起修好了篱笆，成了好朋友。",)),
    Plot("mistake", ("一天，{N}不小心打破了村里的大钟，谁也没有看见。",), ("大家都在问是谁干的，{N}低着头不说话。那天晚上，它怎么也睡不着。",),
         ("第二天早上，{N}走到大家面前说：“是我打破的，对不起，我想把它修好。”{H}走过来说：“我来帮你。”它们一起干了三天，大钟比以前更响亮了。{N}又能睡个好觉了。",)),
    Plot("journey", ("一个春天的早晨，{N}背上小包，出发去找[彩虹的尽头|大海|河水开始的地方]。",), ("路很长，第二天就下起了雨，{N}有点想家了。",),
         ("这时它遇到了{H}，它们分着吃了面包，一起往前走，路好像短了一半。到了山顶，整个世界都在夕阳里发光。{N}说：“我以为我在找一个地方，原来我在找一个一起看风景的人。”",)),
)  # fmt: skip
ENDINGS = (
    "从那天起，{N}再也不孤单了。", "后来，{N}常常给别人讲这个故事，最后总是说：“善良不用花钱，却比金子更贵重。”", "那天晚上，{N}看着星星，觉得这是最好的一天。",
    "如果你路过那里，看见窗户里有一盏灯，那就是{N}在等你喝茶呢。", "{N}明白了：只要肯努力，小小的我也能做大事。",
)
ROBOT_PROMPTS = (
    "[请|]写一个关于[好奇的|小|勇敢的|]机器人[探索新行星|在新行星上|探险|]的[小|短|]故事。", "[请|]给我讲一个机器人[探索行星|去太空|]的故事[吧|]。", "[请|]写一个短篇故事，主角是一个[好奇的|小]机器人。",
    "写一个关于好奇的机器人探索新星球的短故事。",
)
PROMPTS = (
    "[请|]写一个关于{t}的{k}的[小|短|]故事。", "[请|]给我讲一个{k}的故事[吧|]。", "[请|]讲一个[小|睡前|短|]故事[吧|]。", "[我想听|请写]一个关于{k}的故事。", "讲个故事", "[请|]写一个小故事，主角是{k}{N}。",
)


def robot_story(rng: random.Random) -> tuple[str, dict[str, str], str]:
    """(key, slots, text)."""
    plot = rng.choice(ROBOT_PLOTS)
    slots = {"N": rng.choice(ROBOT_NAMES), "P": rng.choice(PLANETS), "F": rng.choice(FRIENDS), "sky": rng.choice(SKIES), "ground": rng.choice(GROUNDS)}
    parts = (
        one(rng, ROBOT_OPENINGS, slots), one(rng, ROBOT_SCENES, slots), one(rng, plot.trouble, slots) + one(rng, plot.attempt, slots),
        one(rng, plot.rescue, slots), one(rng, ROBOT_ENDINGS, slots),
    )  # fmt: skip
    return f"robot-story-zh:{plot.theme}:{slots['N']}", slots, "\n\n".join(parts)


def home_story(rng: random.Random) -> tuple[str, dict[str, str], str]:
    plot, trait = rng.choice(PLOTS), rng.choice(sorted(TRAITS))
    slots = {"N": rng.choice(HERO_NAMES), "k": rng.choice(HEROES), "t": trait.removesuffix("的"), "trait": TRAITS[trait], "place": rng.choice(PLACES), "H": rng.choice(HELPERS)}
    parts = (
        one(rng, OPENINGS, slots), one(rng, plot.trouble, slots) + one(rng, plot.attempt, slots),
        one(rng, plot.rescue, slots), one(rng, ENDINGS, slots),
    )  # fmt: skip
    text = "\n\n".join(parts)
    if slots["k"].startswith("老") or slots["k"].endswith("孩"):
        text = text.replace("一只" + slots["k"], "一个" + slots["k"]).replace(f"一只很{slots['t']}的", f"一个很{slots['t']}的").replace(f"一只非常{slots['t']}的", f"一个非常{slots['t']}的").replace(f"一只{slots['t']}的", f"一个{slots['t']}的").replace("它", "她" if "女" in slots["k"] else "他")
    return f"story-zh:{plot.theme}:{slots['N']}:{slots['k']}", slots, text


def story_document(rng: random.Random) -> Document:
    maker, prompts = rng.choice(((robot_story, ROBOT_PROMPTS), (home_story, PROMPTS)))
    key, slots, text = maker(rng)
    prompt = one(rng, prompts, slots)
    if rng.random() < 0.7:
        return chat("story", "zh", [(prompt, text)], key)
    return raw("story", "zh", f"{prompt}\n\n{text}", key)
