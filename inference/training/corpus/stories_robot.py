# ruff: noqa: E501 - the corpus is prose: a template stays on one line
# fmt: off
"""Stories of a robot that explores a planet: one family of plots told in many ways.

Every plot is a trouble with the way out that fits it, so a story has a beginning, a middle and an end
whatever the other choices are.
"""

import random
from dataclasses import dataclass

from inference.training.corpus.made_up import made_up_name
from inference.training.documents import Document, chat, raw
from inference.training.grammar import article, expand, one

NAMES = (
    "Pip", "Bolt", "Zia", "Rusty", "Nova", "Tik", "Orbit", "Sprocket", "Luma", "Echo", "Widget",
    "Cosmo", "Beep", "Astra", "Gizmo", "Milo", "Dot", "Quill", "Ember", "Comet", "Juno", "Ratchet",
    "Pixel", "Tango", "Vega", "Moss", "Clover", "Scout", "Bramble", "Otto", "Kiko", "Sol", "Tansy",
    "Rivet", "Maple", "Lark", "Domino", "Fig", "Halley", "Button",
)  # fmt: skip
PLANET_STARTS = ("Vel", "Zor", "Kel", "Mir", "Tal", "Ory", "Lum", "Ner", "Ars", "Qua", "Sel", "Bro",
                 "Pax", "Dor", "Iri", "Hel")  # fmt: skip
PLANET_ENDS = ("ora", "ax", "ia", "on", "una", "eth", "ara", "ix", "os", "ella")
FRIENDS = ("Wim", "Oola", "Tuk", "Nia", "Fenn", "Mimi", "Zuzu", "Bip", "Lolo", "Arri", "Pom", "Shee")
PRONOUNS = (("it", "it", "its"), ("he", "him", "his"), ("she", "her", "her"))

OPENINGS = (
    "{N} was a [small|little|round|tall and thin|shiny|tiny silver] robot with [bright blue|large green|two round yellow|kind amber] eyes and [a question for everything|more questions than answers|a great love of new places|a head full of questions]. [One quiet morning|After a journey of [three|seven|nine] years|At the end of a long flight|One day], {his} ship [landed softly on|came down gently on|touched down on] a [strange|distant|new|faraway] planet called {P}.",
    "[Far from Earth|At the edge of the galaxy|Beyond the last known star|Many light years from home], a [small|silver|brave little|cheerful] ship landed on [the planet {P}|a planet called {P}|a quiet planet named {P}]. Its door opened [with a soft hiss|slowly], and out rolled {N}, a [curious|very curious] robot [who wanted to see everything|who had never seen a new world before|who had waited a long time for this day].",
    "{N} had been built for [one job|one purpose]: to [explore|discover new worlds|find out what nobody knew]. So when {he} [saw|first saw] the [blue|red|golden|green] planet {P} through the window of {his} ship, {his} [lights|sensors|little antennas] [blinked|hummed|glowed] with [joy|excitement]. \"[A whole new world|At last|Finally]!\" {he} said. \"[I wonder what is waiting for me|Let us see what is down there|I have so many questions].\"",
    "The [hatch|door] of the ship opened, and [a little robot named {N}|a curious robot called {N}] looked out at [a world that nobody had ever visited|the new planet]. The maps called it {P}, but the maps were [almost empty|blank]. \"Then I will [fill them in|draw them myself],\" [said {N}|{N} said], and {he} [rolled|climbed|stepped] down the ramp.",
    "[Once there was|There once was] a robot named {N} who [asked questions all day long|could not stop asking questions|was more curious than any other robot]. [The other robots liked to stay at the station|Most robots were happy to stay indoors], but {N} wanted to know [what was out there|what lay beyond the stars]. When [the captain|the old captain|a scientist] needed someone to explore the new planet {P}, {N} was the first to [raise a hand|say yes].",
    "On the [first|very first] day of {his} [mission|great journey], {N} the robot [stood|stopped] at the top of a [hill|ridge] and looked at the planet {P}. [Nobody had ever been here before|No one had ever walked here]. {His} [job|task] was simple: look at everything, [touch nothing dangerous|write everything down], and come back [safe|in one piece]. But {N} was curious, and curious robots [seldom find things simple|often find more than they look for].",
)

SCENES = (
    "The sky was {sky}, and the ground was covered with {ground}. {N} [took a picture|measured the air|wrote a careful note] and [moved on|rolled forward], [humming a small tune|listening to every sound].",
    "Everything was different here. The sky was {sky}. Instead of grass there was {ground}, and [the wind smelled of [rain|honey|salt|cinnamon]|two moons hung above the hills|the air was full of soft sounds].",
    "{N} [looked up|looked around]. Above {him} the sky was {sky}; under {his} [wheels|feet] there was {ground}. \"[How beautiful|How wonderful|How strange],\" [{he} whispered|said {N}], and [saved|stored] the [view|picture] in {his} memory.",
    "\"[Note number one|First note],\" said {N}. \"The sky is {sky}. The ground is [made of|covered with] {ground}. [I like it here already|There is nothing like this at home].\" Then {he} [set off|started to walk] [towards the hills|towards a distant valley|along a dry river].",
    "For [an hour|a long while], {N} [explored|wandered] [slowly|happily]. {He} crossed a field of {ground} and [counted the stars|watched the clouds drift] in a sky that was {sky}. [Every few steps there was something new|Nothing looked the way it did at home].",
)
SKIES = ("pink like a rose", "green as a leaf", "purple with golden clouds", "deep orange", "striped with silver light", "pale blue and full of tiny moons", "dark violet even at noon", "the colour of ripe peaches", "full of slow, shining ribbons", "white as milk")
GROUNDS = ("soft blue moss", "warm red sand", "tiny glass pebbles", "silver dust", "round white stones", "springy yellow grass", "purple leaves", "smooth black rock", "sparkling salt", "thick orange clover")

FINDS = (
    "Soon {he} [came to|found] a forest of [tall crystals|glass trees|silver reeds]. When the wind blew, [each one sang a different note|they rang like bells]. {N} [listened|stood still] until [the song was over|{he} knew the tune by heart].",
    "Then {he} saw [a line of small footprints|tiny round footprints]. They [led|went] [around a rock|over a hill] and [stopped at|ended beside] a [pool of glowing water|warm little pool]. \"So I am not alone,\" said {N}, and {his} [heart of wires|little motor] beat [faster|a bit faster].",
    "In the middle of [a valley|a wide plain] stood a [flower as tall as a house|giant blue flower|round stone door]. When {N} [came near|said hello], it [opened|turned] slowly, [as if it had been waiting|as if it were curious, too].",
    "Behind a [waterfall|hill], {N} found a [cave|hidden cave] whose walls [were covered with paintings|glowed with a soft light]. They showed [stars, rivers and small creatures dancing|creatures with long ears looking up at the sky]. Someone had [lived here|made them] long ago.",
    "[All at once|Suddenly], the stones began to [hum|roll]. They were not stones at all: they were [sleepy creatures with six short legs|round little animals with shells]. They [blinked at {N}|looked at the robot] and [went on with their breakfast|hummed a greeting].",
    "A river crossed the plain, but [the water flowed uphill|its water floated a little above the ground]. {N} [laughed|laughed aloud]. \"I will need a [bigger|much bigger] notebook,\" {he} said.",
)


@dataclass(frozen=True)
class Plot:
    """A trouble and the way out of it; `theme` is the word a reader would use for it."""

    theme: str
    trouble: tuple[str, ...]
    attempt: tuple[str, ...]
    rescue: tuple[str, ...]


PLOTS = (
    Plot(
        "storm",
        ("But then the wind [grew|became] [strong|wild]. A [storm of dust|great storm] was coming, and the ship was [far away|on the other side of the valley].",
         "[Just then|At that moment] the light [changed|went dim]. A wall of [grey|black] cloud was racing across the plain, and there was [nowhere to hide|no roof anywhere]."),
        ("{N} tried to [run|roll] back, but the wind pushed {him} over [twice|again and again].",
         "{N} [held on to|hid behind] a rock, but [it was too small|the wind came from every side]."),
        ("A small [furry|green|spotted] creature [appeared|peeped out of the ground] and waved. Its name was {F}. It led {N} into a [warm burrow|tunnel], where [a whole family|dozens of its friends] sat around a glowing stone. Together they [waited|listened] until the storm had passed. In return, {N} [told them about the stars|showed them pictures of Earth].",
         "Then a [voice|whistle] called. It was {F}, a [long-eared|round] creature who lived under the rocks. \"[This way|Quickly, in here]!\" it seemed to say. In the safe, warm cave, {N} shared {his} light and {F} shared its [songs|stories], and the storm [blew itself out|was soon over]."),
    ),
    Plot(
        "battery",
        ("Then a red light [blinked|began to blink] on {his} chest. {His} battery was [almost empty|very low], and the sun was [going down|already behind the hills].",
         "{N} had [been so busy looking|looked at so many things] that {he} forgot to watch {his} battery. Now [only a little power was left|it was nearly flat]."),
        ("{He} turned towards the ship, but each step was slower than the last. [Halfway|At the foot of a hill], {he} [had to stop|stopped].",
         "{He} [switched off|turned off] {his} lights to save power, but [it was not enough|that did not help for long]."),
        ("That was when the [plants|flowers] around {him} began to glow. A creature named {F} touched one leaf to {his} arm, and [warm|gentle] power flowed into {him}. The whole field [was alive with electricity|gave a little of its light]. \"Thank you,\" said {N}, and {he} [promised never to pick a single one|watered them with the last water from {his} tank].",
         "A little creature called {F} [found {him} there|came out of the shadows]. It could not speak, but it understood. It brought [a shining stone|a stone that had lain in the sun all day] and laid it on {his} battery. Slowly the red light turned green. {N} [danced|spun around] with joy, and {F} danced, too."),
    ),
    Plot(
        "lost",
        ("When {N} turned to go back, [all the hills looked the same|fog covered the plain]. {He} had [lost the way|no idea where the ship was].",
         "[Evening came|Night fell], and {N} [noticed|understood] something [worrying|strange]: {his} tracks [were gone|had disappeared]. The [moving sand|growing moss] had covered them, and {he} was lost."),
        ("{He} went left, and found [a cliff|a lake]. {He} went right, and found [a wall of rock|the same cave again].",
         "{He} [called the ship|sent a signal], but only [a crackle|silence] answered."),
        ("Then {N} remembered that {he} was an explorer. {He} looked up at the sky and [drew a map of the new stars|gave each bright star a name]. [Step by step|One star after another], the map grew, until {he} [knew|could see] which way was home. By [midnight|morning] {he} stood [in front of the ship|at the ship's door] again, [tired but proud|with a map nobody had ever made].",
         "[A small light|A tiny light] came bobbing through the dark. It was {F}, a [moth|beetle] as big as a hand, and it glowed like a lamp. It flew a little way and waited, flew and waited, until {N} understood and followed. [Before long|Soon] the ship [stood in front of them|was there]. {N} gave {F} the [brightest|smallest] lamp on board, as a [gift|present]."),
    ),
    Plot(
        "stuck",
        ("But {he} did not see the [hole|mud]. With a [splash|crunch], {N} [sank in up to the middle|fell in] and could not move.",
         "[As {he} hurried closer|On the way down], a rock [slipped|rolled], and {his} left [wheel|leg] was [caught|stuck] between two stones."),
        ("{He} pulled. {He} pushed. {He} [tried to dig|used {his} strongest motor], but {he} only sank deeper.",
         "{He} [counted to ten|took a moment] and tried again, and again. [Nothing helped|It was no use]."),
        ("A [shy|quiet] creature named {F} [came to look|had been watching]. It went away, and {N} thought it was afraid. But soon it came back with [ten|twenty|a hundred] friends. They [made a long chain|held on to one another] and pulled: one, two, three! {N} [popped out|came free] [like a cork|with a plop], and they all [fell over laughing|tumbled down in a heap].",
         "\"[I cannot do this with force|Strength does not help],\" {N} thought, \"so I must [think|use my head].\" {He} [looked around|searched the ground] and saw a long, strong [branch|root]. Using it as a lever, {he} [lifted the stone|raised {himself}] a little, then a little more, until {he} was free. {He} wrote it in the [notebook|log]: [patience is a tool, too|a good idea is stronger than a strong motor]."),
    ),
    Plot(
        "lonely",
        ("Then {N} heard a [soft|sad] sound. Under a [leaf|ledge] sat a tiny creature, all alone, and it was [crying|shivering].",
         "[Near the water|Beside the path], {N} found a small creature with [big|wet] eyes. It [had lost its family|was lost and afraid]."),
        ("{N} did not know its language. {He} tried [words|music], then [numbers|coloured lights], but the creature only [looked at the ground|hid its face].",
         "{N} [was not built for this|had no program for comforting anyone]. {He} [searched {his} memory|read the manual twice] and found [nothing|no answer]."),
        ("So {he} simply sat down beside it and [waited|kept it warm]. After a while the creature came closer and [said its name: {F}|whispered, \"{F}\"]. {N} lifted it up on {his} shoulders, so it could see over the tall grass. Far away, [a light was waving|someone was calling]. It was its family! They [ran to meet each other|hugged for a long time], and they gave {N} a [song|necklace of shells] to take home.",
         "At last {he} [played the sound of rain|hummed the tune the wind had sung that morning], and the creature [looked up|smiled]. Its name was {F}. Together they followed [the river|the footprints] until they came to a village of [round huts|warm little lights]. When {F} ran into its mother's arms, {N} felt [something new|something warm], and {he} had no number for it."),
    ),
    Plot(
        "machine",
        ("At the foot of the mountain stood an [old|ancient] machine, covered with [leaves|dust]. It was [broken|silent], and around it the [plants were dry|land was dry and grey].",
         "There, half buried in the ground, was another robot. It was [very old|rusty], and its eyes were dark."),
        ("{N} pressed [every button|the largest button]. Nothing happened. {He} [cleaned the wires|turned a wheel], and [still nothing happened|a little smoke came out].",
         "{N} [knocked politely|said hello in forty languages]. There was no answer. {He} opened a panel and found that [one small part|a single gear] was missing."),
        ("{N} thought for a moment. Then {he} took [a small gear|a spare part] from {his} own [arm|tool box] and put it in. The old machine [shook|coughed], and [then it hummed|its lamps came on]. \"[Good morning|Thank you],\" it said in a [deep|gentle] voice. \"I am {F}. I have been asleep for a thousand years.\" They talked until the [stars came out|moons rose], and {F} [told|taught] {N} [the history of the planet|all the secrets of {P}].",
         "It took [all night|many hours], but {N} did not give up. When the sun rose, the old one [woke|moved] at last. Its name was {F}, and its task was to [bring water to the valley|take care of the gardens]. With {N} helping, the water [flowed|ran] again, and by evening the first green leaves had opened."),
    ),
    Plot(
        "gift",
        ("In the [cave|grass], {N} saw a [stone|crystal] that shone in every colour. {He} [wanted|longed] to take it home. But when {he} [lifted it|picked it up], [the light around {him} went out|the whole valley became dark].",
         "There was a [fruit|flower] on a [tall tree|high rock], and it was the most beautiful thing {N} had ever seen. \"[This will make me famous|Everyone at home must see this],\" {he} said, and {he} picked it. [At once|Right away] the [birds fell silent|wind stopped]."),
        ("{N} [did not understand|was puzzled]. {He} took a step, and the ground [trembled|sighed].",
         "[A few small creatures|A creature called {F}] looked at {him} with [sad|worried] eyes. [They did not shout|It was not angry]; [they only waited|it only waited]."),
        ("Then {he} understood: it was [the heart of the valley|the lamp of all who lived there]. Carefully, {N} put it back. The light returned, [brighter than before|warm and golden], and a creature named {F} [bowed|clapped its hands]. It gave {N} [a seed|a single feather] instead. It was [small and plain|not shiny at all], but it was a gift, and {N} thought it was [worth more than any jewel|the best thing {he} had ever owned].",
         "\"I am sorry,\" said {N}. \"A thing can be beautiful without being mine.\" {He} brought it back and [bowed|said goodbye to it], and [everything began to sing again|the music began again]. {N} took only a picture. [To this day|Even now] it is the picture {he} [likes best|looks at most often]."),
    ),
    Plot(
        "bridge",
        ("A deep [canyon|gorge] lay in front of {him}. On the other side [something was shining|lights blinked as if to say hello], but there was no bridge.",
         "[The path ended|The valley ended] at a wide [lake|river] of [warm mist|silver water]. On the far shore someone was waving, but {N} could not swim."),
        ("{He} threw a rope, but it was too short. {He} [built|made] a little [raft|glider], but it [fell apart|broke in two].",
         "{He} [walked|rolled] along the edge for [a mile|an hour], but there was no way across."),
        ("The next morning {N} saw that someone had started to build from the other side. It was {F}, a [builder|creature] with [four strong arms|a hard hat made of shell]. {N} began to build, too, stone by stone. They could not hear each other, but they met in the middle on the [third|fifth] day. {They} shook hands, and the bridge of {P} [still stands|stands to this day].",
         "\"If one rope is too short,\" said {N}, \"then [I need a second one|someone else must have the other half].\" {He} [flashed {his} lights|drew a picture of a rope in the air]. Across the water, {F} understood. It threw its own rope, {N} caught it, and they tied the two together. [Soon|A moment later] {he} was across, and {F} showed {him} [a city of lanterns|gardens that floated in the air]."),
    ),
    Plot(
        "message",
        ("On the highest rock, {N} found [strange signs|a row of symbols]. [They were not an accident|Someone had written them], but who, and why?",
         "[Every night|At sunset] the mountain blinked: [long, short, long|three short lights and one long one]. It was a message, {N} was sure, but {he} could not read it."),
        ("{He} compared it with every language {he} knew. [None of them fitted|It matched none of them]. {He} [turned it upside down|read it backwards], and [that did not help|it still made no sense].",
         "{N} counted and [calculated|compared] for [two days|two nights]. {His} notebook was full, and [the answer was still hidden|{he} was no wiser]."),
        ("Then a little creature called {F} [sat down beside {him}|came by] and began to sing. {N} looked at the signs and laughed: it was not a text at all, it was a song! {He} played the notes, and all over the valley voices joined in. The message was [simple|short]: \"[Welcome, traveller|You are not alone|Come and sing with us].\"",
         "At last {he} did the simplest thing: {he} [answered|sent the same lights back]. A door opened in the rock, and {F} stepped out, [smiling|a lamp in its hand]. \"[We have called for a hundred years|We have sent it every night],\" it said, \"and you are the first who answered.\" They [drank hot tea|shared a meal] and [became friends|told each other about their worlds]."),
    ),
    Plot(
        "fear",
        ("Then {he} came to a cave that was [very dark|black as ink]. A [low|deep] growl came from inside. {N} [wanted to know what it was|was curious], but {he} was also afraid.",
         "That night something [big|huge] walked around the ship. [Thump, thump, thump|Boom, boom, boom]. {N} [hid under the table|turned off all the lights]."),
        ("{He} [took one step forward and two steps back|told {himself} that explorers are never afraid, but it was not true]. [The noise came again|It came closer].",
         "\"Perhaps I should [fly home|leave],\" {he} thought. But then {he} would never [know|find out]."),
        ("So {N} took a deep breath, which is hard for a robot, and [switched on {his} lamp|opened the door]. There stood [a huge creature|a giant] with [soft|fluffy] fur, and it was [shaking|trembling], because it was afraid of {him}! \"I am {N},\" said the robot. \"{F},\" said the [giant|creature]. [Both began to laugh|They looked at each other and laughed], and [from then on they explored together|nobody was afraid any more].",
         "{He} went [slowly|on tiptoe], holding {his} lamp in front of {him}. The growl was only [the wind in a stone pipe|a sleeping creature named {F}, who snored]. {N} laughed so loudly that the [whole cave|whole night] laughed with {him}. [Being brave, {he} wrote, does not mean having no fear|Courage, {he} wrote, is being curious even when you are afraid]."),
    ),
)

ENDINGS = (
    "When it was time to [leave|fly home], {N} [looked back|waved] one last time. {He} had come to [study|measure] a planet, and {he} had [found a friend|found much more than numbers]. \"[I will come back|I will be back],\" {he} [promised|said], and the [little ship|ship] rose [into the stars|into the evening sky].",
    "That [night|evening], {N} sent a message [to Earth|home]: \"{P} is [beautiful|wonderful]. [I have more questions than before|There is so much left to learn]. Please let me stay a little longer.\" The answer came quickly: \"[Stay|Yes], {N}. [Be curious|Explore for all of us].\" And [so {he} did|{he} did just that].",
    "Back on the ship, {N} wrote the last line of the day: \"[The best discoveries are not things, but friends|Whoever asks a question kindly will find an answer|Every new world begins with a small step].\" Then {he} [turned off the lamp|closed {his} eyes], [dreaming of tomorrow|happy and a little tired].",
    "[Years later|Many years later], when people [came to|first visited] {P}, they found a small [sign|stone] beside the path. It said: \"[{N} was here, and was happy|Walk softly, look closely, and say hello]. [Signed, {N}|Love, {N}].\"",
    "From that day on, {N} [had a new rule|kept one rule]: [first look, then listen, then ask|always say hello first]. And on every [planet|world] {he} visited afterwards, {he} [told the story of {P}|remembered {P}], where {his} [greatest|first] adventure had begun.",
    "{N} [rolled|walked] back to the ship under [two|three] bright moons. {His} [tank was almost empty|wheels were dusty] and {his} memory was almost full, but {he} had never felt better. Tomorrow [there would be another hill|{he} would explore the other side of the planet]. [For a curious robot, that was the best thing in the world|And that, for a curious robot, is happiness].",
)

ADJECTIVES = ("curious", "curious", "curious", "brave", "little", "small", "lonely", "friendly", "young", "old", "shy", "cheerful")
PROMPTS = (
    "[Write|Please write|Can you write|Tell me|Tell|Could you write] a [short |short |little |]story about {a} [exploring|who explores|that explores|discovering|visiting|landing on] a [new|new|strange|distant|faraway|unknown] [planet|planet|planet|world].",
    "[Write|Tell me] a [short |]story [in which|where] {a} [explores|lands on|discovers] a [new|strange] planet.",
    "[A short story|Story|A story]: {a} on a [new|strange] planet.",
    "[Write|Tell me] a [short |]story about {a} called {N} [on|exploring] the planet {P}.",
    "[Write|Tell me|Please write] a [short |]story about [{a} named|{a} called|the robot] {N}.",
    "[I would like a story about|I want a story about|Make up a story about] {a} [exploring a new planet|on another planet|in space].",
)
TITLES = ("{N} and the Planet {P}", "The Robot on {P}", "{N} Finds a Friend", "A New World for {N}", "{N} the Explorer", "The Long Way to {P}", "What {N} Found")
# So many heroes have a name that no other story has: it must be kept, not remembered.
MADE_UP_SHARE = 0.3
CANONICAL_PROMPT = "Write a short story about a curious robot exploring a new planet."


def robot_slots(rng: random.Random) -> dict[str, str]:
    he, him, his = rng.choice(PRONOUNS)
    return {
        "N": made_up_name(rng) if rng.random() < MADE_UP_SHARE else rng.choice(NAMES), "P": rng.choice(PLANET_STARTS) + rng.choice(PLANET_ENDS),
        "F": rng.choice(FRIENDS), "sky": rng.choice(SKIES), "ground": rng.choice(GROUNDS),
        "he": he, "him": him, "his": his, "He": he.capitalize(), "His": his.capitalize(),
        "himself": {"it": "itself", "he": "himself", "she": "herself"}[he], "They": "They",
        "a": article(f"{rng.choice(ADJECTIVES)} robot"),
    }  # fmt: skip


def robot_story(rng: random.Random, slots: dict[str, str]) -> tuple[str, str]:
    """(key, story) for these slots. The key names the plot and the cast."""
    plot = rng.choice(PLOTS)
    parts = [one(rng, OPENINGS, slots), one(rng, SCENES, slots)]
    if rng.random() < 0.6:
        parts.append(one(rng, FINDS, slots))
    trouble = f"{one(rng, plot.trouble, slots)} {one(rng, plot.attempt, slots)}"
    parts += [trouble, one(rng, plot.rescue, slots), one(rng, ENDINGS, slots)]
    key = f"robot-story:{plot.theme}:{slots['N']}:{slots['F']}"
    return key, "\n\n".join(parts)


def robot_prompt(rng: random.Random, slots: dict[str, str]) -> str:
    if rng.random() < 0.2:
        return CANONICAL_PROMPT
    return one(rng, PROMPTS, slots)


def robot_story_document(rng: random.Random) -> Document:
    """The same story may come as a chat, as a prompt with its completion, or under a title."""
    slots = robot_slots(rng)
    prompt = robot_prompt(rng, slots)
    if slots["N"] not in prompt and rng.random() < 0.7:
        # The model invents this name itself: out of rare syllables it may never find the end.
        slots["N"] = rng.choice(NAMES)
    key, story = robot_story(rng, slots)
    form = rng.random()
    if form < 0.45:
        return chat("story", "en", [(prompt, story)], key)
    if form < 0.9:
        gap = rng.choice(("\n\n", "\n\n", "\n\n", "\n", " "))
        return raw("story", "en", prompt + gap + story, key)
    title = expand(rng, rng.choice(TITLES), slots)
    return raw("story", "en", f"{title}\n\n{story}", key)
