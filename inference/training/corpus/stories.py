# ruff: noqa: E501 - the corpus is prose: a template stays on one line
# fmt: off
"""Short stories in English about heroes other than robots: animals, children and the odd dragon.

As with the robot's, a plot is a trouble and the way out that fits it. A story's key is its hero, plot and
place, so whole combinations can be held out.
"""

import random

from inference.training.corpus.made_up import made_up_name
from inference.training.corpus.stories_robot import MADE_UP_SHARE, Plot
from inference.training.documents import Document, chat, raw
from inference.training.grammar import article, expand, one

# kind: the pronouns that its stories use.
HEROES = {
    "fox": "he she", "cat": "he she", "dog": "he she", "rabbit": "he she", "owl": "he she", "dragon": "he she",
    "mouse": "he she", "bear": "he she", "hedgehog": "he she", "squirrel": "he she", "turtle": "he she",
    "penguin": "he she", "girl": "she", "boy": "he", "princess": "she", "prince": "he", "wizard": "he",
    "baker": "he she", "sailor": "he she", "painter": "he she", "knight": "he she", "gardener": "he she",
    "teacher": "he she", "giant": "he", "elephant": "he she", "frog": "he she", "wolf": "he she", "fisherman": "he",
    "clockmaker": "he she", "lighthouse keeper": "he she", "astronaut": "he she", "snowman": "he",
}  # fmt: skip
SHE_NAMES = ("Mia", "Lena", "Ruby", "Hazel", "Nell", "Ivy", "Cora", "Ada", "Willa", "Pearl", "Tess", "Luna", "Greta", "Maya", "Flora")
HE_NAMES = ("Finn", "Theo", "Jasper", "Hugo", "Barnaby", "Leo", "Felix", "Arlo", "Oscar", "Emil", "Toby", "Rufus", "Ned", "Caspar", "Silas")
HELPERS = ("an old owl", "a small sparrow", "a wise turtle", "a travelling musician", "a friendly goat", "an old woman with a lantern", "a quiet boy", "a shy deer", "a clever crow", "a little girl with a red scarf")
ADJECTIVES = ("brave", "little", "curious", "shy", "lonely", "clever", "kind", "old", "young", "lazy", "cheerful", "stubborn", "proud", "forgetful")
PLACES = (
    "in a village between two hills", "at the edge of a great forest", "in a small house by the sea", "on an island with one tall tree",
    "in a town with crooked streets", "near a lake that was always calm", "at the foot of a snowy mountain", "in an old windmill",
    "beside a slow green river", "in a garden behind a stone wall", "under the roof of an old library", "in a valley full of apple trees",
)  # fmt: skip

OPENINGS = (
    "[Once upon a time|Long ago|Once], {place}, there lived {a} named {N}. {Nature}",
    "{N} was {a} who lived {place}. {Nature}",
    "{Place} lived {a}. {His} name was {N}. {Nature}",
    "[Everybody|Everyone] who lived nearby knew {N}, the {kind}. {He} lived {place}, and {he} was [as|every bit as] {adj} as they said. {Nature}",
)
NATURES = {
    "brave": "{He} was not afraid of [storms|the dark], or so {he} [said|liked to say].",
    "little": "{He} was the smallest of all, and [often|sometimes] {he} wished to be [big|tall].",
    "curious": "{He} [asked|had] a hundred questions before breakfast, and a hundred more [after it|at bedtime].",
    "shy": "{He} spoke so softly that [hardly anyone|almost nobody] ever heard {him}.",
    "lonely": "{He} had [a warm bed and a full cupboard|everything {he} needed], but [nobody to share it with|no friend to talk to].",
    "clever": "{He} could [solve any riddle|mend anything], and {he} was a little proud of it.",
    "kind": "{He} always [had a kind word|kept a piece of bread] for whoever came by.",
    "old": "{He} had seen [many winters|many years], and {he} thought there was nothing new left to see.",
    "young": "{He} had never [been further than the last fence|left home], and {he} [longed|could not wait] to see the world.",
    "lazy": "{He} liked nothing better than a [long nap|soft cushion], and {he} put off everything until tomorrow.",
    "cheerful": "{He} sang [all day long|from morning to night], even when it rained.",
    "stubborn": "When {he} had [made up {his} mind|decided something], [nobody|nothing] could change it.",
    "proud": "{He} [thought|was sure] that {he} did everything best, and never asked for help.",
    "forgetful": "{He} forgot [names, days and keys|where {he} put things], but never [a friend|a promise].",
}
PLOTS = (
    Plot("lost thing",
         ("One [morning|day], {he} [noticed|found] that {his} {thing} was gone. {He} had [kept it for years|loved it more than anything].",
          "On a [windy|rainy] day, the wind [took|carried away] {his} {thing}. {He} watched it [fly|disappear] over the [roofs|trees]."),
         ("{He} looked under the bed, behind the door and in every [pocket|corner], but it was nowhere.",
          "{He} [ran after it|searched] until {his} feet hurt. [Nobody had seen it|It was no use]."),
         ("On the road {he} met {helper}. \"[Why so sad|What are you looking for]?\" {N} told the whole story. \"[Follow me|Come along],\" said the stranger. They walked [past the mill|through the high grass] to a tree with a nest. There lay the {thing}, and in it slept three tiny birds. {N} looked at them for a long time. \"[They need it more than I do|Let them keep it],\" {he} said [softly|at last], and {he} [smiled|was surprised to feel happy].",
          "Then {helper} came by and asked just one question: \"Where were you when you were last happy?\" {N} thought about it and [ran|went] to the [old bridge|oak tree], where {he} had sat the evening before. And there it was: {his} {thing}, [a little wet|covered with leaves], but safe. {N} shared {his} supper with the stranger, and [they talked until the stars came out|they were friends from that day on].")),
    Plot("storm",
         ("One [night|evening], a [terrible|great] storm came. The wind [howled|roared], and the rain [beat against the windows|fell like stones].",
          "Then [winter|a cold wind] came early. [Snow|Hail] fell for [three days|a week], and the road [disappeared|was closed]."),
         ("{N} heard someone [call|cry] for help, far out in the dark. {He} [was afraid|trembled], and {his} lamp was [small|old].",
          "There was [little food left|only one candle left]. {N} [counted it twice|looked at it] and did not know what to do."),
         ("But {he} went out all the same, step by step, and held {his} lamp high. There, under a fallen tree, sat {helper}, [cold and wet|shivering]. {N} led {his} guest home, made a fire and cooked soup. In the morning the storm was over, and [the whole sky was clean and blue|the sun shone]. \"You saved me,\" said the guest. \"I only [held a lamp|opened a door],\" said {N}.",
          "Then someone knocked. It was {helper}, who had [a sack of potatoes|a little flour] but no fire. \"I have fire, but no food,\" said {N}. So they put together what they had. Soon [a neighbour|another] came, and another, and each brought [something|a little]. When the storm was over, nobody wanted to go home.")),
    Plot("contest",
         ("In spring there was a [great race|contest], and the winner would get a [silver cup|golden bell]. \"I will [win|try],\" said {N}.",
          "One day the [king|mayor] promised a [prize|great prize] to whoever could [climb the highest tower|make the queen laugh|bring the brightest light]."),
         ("The others laughed. \"You? You are only {a}!\" {N} [said nothing|blushed], but {he} [practised every morning|went on all the same].",
          "All the others were [bigger|louder] and [faster|richer]. {N} [almost went home|nearly gave up]."),
         ("On the day itself, {N} was [in front|close to the finish] when {he} saw {helper} at the side of the road, [who had fallen|with a hurt foot]. {N} stopped. {He} [bandaged the foot|helped] and lost the race. But that evening everyone [came to {his} door|cheered]. \"The cup is for the fastest,\" they said, \"but this is for the best,\" and they gave {him} [a warm cake|a crown of flowers].",
          "\"Do not do it their way,\" said {helper}. \"Do it [yours|your way].\" So {N} [took {his} time|closed {his} eyes and thought], and did it {his} own way, quietly and carefully. When it was over, nobody spoke for a moment; then they all [clapped|cheered]. {N} had won. {He} [gave half the prize away|shared the prize], because {he} had not won it alone.")),
    Plot("stranger",
         ("One day a stranger came: a [huge|strange] creature with [green fur|long horns]. Everyone [ran away|locked the door].",
          "At night somebody [knocked over the fences|took the apples]. \"It is a monster,\" [people whispered|said the neighbours]."),
         ("{N} was frightened, too, but [{he} looked through the keyhole|{he} wanted to know the truth].",
          "{N} [stayed awake|hid behind a barrel] to see who it was. [Midnight came|The moon rose]. Then {he} heard [slow steps|a sigh]."),
         ("The creature sat on a stone and [cried|wept]. \"[What is the matter|Why are you crying]?\" asked {N}. \"Everyone runs away,\" it said, \"before I can say good morning.\" {N} sat down. \"Good morning,\" {he} said. And [that was how it began|so they became friends]. The next day {N} took the creature by the hand and led it through the village, and one door after the other opened.",
          "It was only {helper}, hungry and ashamed. \"[You could have asked|Why did you not ask]?\" said {N}. \"I did not think that anyone would say yes.\" So {N} [brought bread and cheese|cooked a large pot of soup], and the next day [the stranger mended all the fences|they mended the fences together]. There never was a monster again.")),
    Plot("journey",
         ("One [spring morning|day], {N} packed a [small bag|loaf of bread] and set out to find [the end of the rainbow|the place where the river begins|the sea].",
          "{N} had a [dream|letter] that said: \"[Go to the highest hill|Follow the river|Walk towards the morning star].\" So {he} [packed|closed the door behind {him}] and went."),
         ("The way was [long|steep]. On the [second|third] day [it began to rain|{his} shoes had holes], and {he} [missed|longed for] {his} bed.",
          "{He} came to a crossroads with [three|four] paths and no sign. {He} [took the wrong one|walked in a circle] and [came back to the same stone|had to start again]."),
         ("There {he} met {helper}, and they shared what they had. \"You may [walk with me|come along],\" said {N}, and together the way was [half as long|easy]. When they reached the [top|end], they saw [the whole world|the sea] lying in the [evening light|sun]. \"I thought that I was looking for a place,\" said {N}. \"But I was looking for [someone to show it to|you].\"",
          "\"Every path leads somewhere,\" said {helper}. \"[Which one smells best|Which one makes you smile]?\" {N} laughed and chose the one with the [wild roses|blackberries]. It led {him} through [a wood full of light|fields of poppies] to exactly the place that {he} had dreamt of. It was smaller than in the dream, and much [more beautiful|better].")),
    Plot("magic",
         ("In the [attic|garden], {N} found a [small|dusty] {magic}. When {he} [touched|cleaned] it, it began to [glow|hum], and a voice said: \"One wish is yours.\"",
          "One day {N} helped {helper} across the [river|road] and was given a {magic}. \"It can do one thing only once,\" said the stranger. \"So think well.\""),
         ("{N} thought of [gold|a castle] and of [wings|a ship]. Every night {he} made up {his} mind, and every morning {he} changed it.",
          "Everyone [gave advice|knew what to do]. \"[Be rich|Be famous]!\" said one. \"[Be young|Be strong]!\" said another. {N} [only grew more confused|got a headache]."),
         ("Then, one dry summer, the [well|river] ran empty. The [flowers died|trees lost their leaves], and the animals came and [looked at {him}|lay down in the shade]. {N} did not think for long. \"Rain,\" {he} said. The {magic} [went dark|turned to dust], and the first drop fell on {his} nose. {N} danced in the rain with all the others, and never once [was sorry|regretted it].",
          "In the end {he} [gave it to|put it into the hands of] a sick child and said: \"[Get well|Be healthy].\" The {magic} [shone once|flashed], and the child sat up and asked for [pancakes|breakfast]. {N} walked home [with empty hands|whistling]. {He} had never felt so rich.")),
    Plot("mistake",
         ("One day {N} broke the [great bell|big window|town clock]. It was [an accident|a mistake], and nobody had seen it.",
          "{N} had [promised to water the garden|promised to lock the gate], but {he} [forgot|fell asleep]. In the morning [everything was dry|all the sheep were gone]."),
         ("\"[Who did this|Who was it]?\" [asked the mayor|they all asked]. {N} looked at {his} feet and said nothing. That night {he} could not sleep.",
          "At first {he} [blamed the wind|told a story about thieves]. But each lie needed [a new one|another], and {his} heart [grew heavy|felt like a stone]."),
         ("In the morning {he} went to [the mayor|everyone] and said: \"It was me. I am sorry, and I want to [mend it|make it good].\" It was quiet. Then {helper} stepped forward. \"[I will help you|I once did the same],\" came the answer. They worked for [a week|three days]. When it was done, it was [better|more beautiful] than before, and {N} slept [deeply|well] again.",
          "\"A mistake is like a [thorn|stone in the shoe],\" said {helper}. \"It only hurts as long as you keep it.\" So {N} told the truth, every word. People were angry for [an hour|a day], and then they were [proud of {him}|kind again]. Together they put everything right, and {N} never forgot a promise again.")),
)  # fmt: skip
ENDINGS = (
    "[From that day on|After that], {N} [was never lonely again|had a friend for every day of the week|never again thought that {he} was too small to help].",
    "And if you [ever come by|pass that way], look for [a light in the window|an open door]. {N} will [put the kettle on|tell you the rest].",
    "That evening {N} [sat at the window|looked at the stars] and thought: [it had been a good day|the best things cannot be bought|a good friend is worth more than gold].",
    "{N} [told|often told] the story afterwards, and [always ended it|ended it] with the same words: \"[Be kind, it costs nothing|Open the door when someone knocks|You never know how strong you are until you try].\"",
    "[Years later|When {he} was very old], {N} still [remembered|smiled at] that day, when [everything changed|a small step had led to a great adventure].",
)
THINGS = ("red hat", "golden key", "little lamp", "music box", "silver whistle", "blue kite", "warm scarf", "favourite book", "wooden boat", "old compass")
MAGIC = ("lamp", "ring", "mirror", "bottle", "stone", "feather", "bell")
ACTIVITIES = {
    "lost thing": ("who loses {his} {thing}", "looking for {a_thing}", "and {a_thing}"), "storm": ("in a storm", "who is not afraid of a storm", "on a stormy night"),
    "contest": ("who wants to win a race", "in a contest", "who tries to win"), "stranger": ("who meets a stranger", "and a strange visitor", "who makes a new friend"),
    "journey": ("who goes on a journey", "on a long journey", "who travels far"), "magic": ("who finds {a_magic}", "and a magic {magic}", "with one wish"),
    "mistake": ("who makes a mistake", "who learns to tell the truth", "who tells a lie"),
}  # fmt: skip
PROMPTS = (
    "[Write|Please write|Can you write|Tell me|Could you tell me] a [short |short |little |]story about {a} {activity}.",
    "[Write|Tell me] a [short |]story about {a}[.|, please.]", "[Tell me|Write] a story about {a} named {N}.",
    "[A short story about|Story:|I want a story about|A bedtime story about] {a} {activity}.", "Tell me a [bedtime |]story[ about {a}|].",
    "Make up a story about {a} and a {magic}.", "[Write|Tell] a [short |]fairy tale about {a} {activity}.",
)
TITLES = ("{N} the {Kind}", "The {Adj} {Kind}", "{N} and the {Thing}", "The {Kind} {activity}")


def story_slots(rng: random.Random, plot: Plot) -> dict[str, str]:
    kind = rng.choice(sorted(HEROES))
    he = rng.choice(HEROES[kind].split())
    him, his = ("him", "his") if he == "he" else ("her", "her")
    known = HE_NAMES if he == "he" else SHE_NAMES
    name = made_up_name(rng) if rng.random() < MADE_UP_SHARE else rng.choice(known)
    adjective, place = rng.choice(ADJECTIVES), rng.choice(PLACES)
    thing, magic = rng.choice(THINGS), rng.choice(MAGIC)
    slots = {
        "N": name, "kind": kind, "adj": adjective, "a": article(f"{adjective} {kind}"), "place": place,
        "Place": place[0].upper() + place[1:], "he": he, "him": him, "his": his, "He": he.capitalize(), "His": his.capitalize(),
        "helper": rng.choice(HELPERS), "thing": thing, "magic": magic, "a_thing": article(thing), "a_magic": article(f"magic {magic}"),
        "Kind": kind.title(), "Adj": adjective.title(), "Thing": thing.title(),
    }  # fmt: skip
    slots["Nature"] = expand(rng, NATURES[adjective], slots)
    slots["activity"] = one(rng, ACTIVITIES[plot.theme], slots)
    return slots


def story(rng: random.Random) -> tuple[str, dict[str, str], str]:
    """(key, slots, text)."""
    plot = rng.choice(PLOTS)
    slots = story_slots(rng, plot)
    trouble = f"{one(rng, plot.trouble, slots)} {one(rng, plot.attempt, slots)}"
    parts = (one(rng, OPENINGS, slots), trouble, one(rng, plot.rescue, slots), one(rng, ENDINGS, slots))
    return f"story:{plot.theme}:{slots['kind']}:{slots['adj']}", slots, "\n\n".join(parts)


def story_document(rng: random.Random) -> Document:
    key, slots, text = story(rng)
    form = rng.random()
    prompt = one(rng, PROMPTS, slots)
    if form < 0.55:
        return chat("story", "en", [(prompt, text)], key)
    if form < 0.75:
        return raw("story", "en", prompt + rng.choice(("\n\n", "\n\n", "\n")) + text, key)
    if form < 0.9:
        return raw("story", "en", one(rng, TITLES, slots) + "\n\n" + text, key)
    return raw("story", "en", text, key)
