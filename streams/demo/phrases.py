"""What travellers and the assistant say: templates by topic, and the words that fill them.

Slots of a template are named in braces; `messages.py` fills them. A topic is a list of turns, each a choice of
templates; turns alternate between the traveller and the assistant.
"""

from typing import Literal

from msgspec import Struct


class Topic(Struct, frozen=True):
    """A kind of conversation: its intent, the kinds of places it is about (none: any), its turns, how common it is."""

    intent: str
    kinds: tuple[str, ...]
    turns: tuple[tuple[str, ...], ...]
    weight: int = 1


WORDS: dict[str, tuple[str, ...]] = {
    name: tuple(word.strip() for word in words.split("|"))
    for name, words in {
        "when": "tonight | tomorrow evening | this weekend | for lunch today | around seven | on our last day | at noon"
        " | after the museum | before the train leaves | late tonight | on Friday",
        "wish": "a quiet table | somewhere with a view | outdoor seating | a place that is good with kids | live music"
        " | something not too touristy | a table by the window | somewhere we can talk | a cosy place out of the rain",
        "treat": "a quiet table | a table by the window | live music | seats outside | all the time in the world"
        " | very friendly staff | a great view",
        "company": "my parents | two colleagues | my sister | the kids | an old friend | my partner | six of us"
        " | a friend who is hard to please",
        "craving": "I'd love some | I'm craving | We feel like | Could you find me | I'm in the mood for | Any good",
        "polite": "please | if you can | thanks | when you have a moment | no hurry",
        "budget": "under 20 each | nothing fancy | cheap and cheerful | money is no object | about 40 for two",
        "count": "two | three | four | five | six",
        "count_es": "dos | tres | cuatro",
        "count_fr": "deux | trois | quatre",
        "hour": "6:30 | 7 | 7:30 | 8 | 8:15 | noon | 1:30",
        "later": "8:30 | 8:45 | 9 | 9:15 | 2",
        "closing": "4 | 5 | 6 | 7 | 9 | 10",
        "minutes": "5 | 8 | 12 | 15 | 20 | 25",
        "weather": "It is pouring | It's freezing | What a sunny day | It's windy | There is fog over the river",
        "ride": "on foot | by bus | by bike | by taxi",
        "praise": "People keep coming back for it | It is rated highly | It is a favourite of many visitors"
        " | The last inspection was excellent | Your friends liked it as well",
        "thing": "my umbrella | a blue scarf | my charger | my daughter's hat | a paperback | my glasses",
        "sight": "a museum | a park | one of the colleges | a boat tour | a gallery | the old town",
    }.items()
}

ENGLISH: tuple[Topic, ...] = (
    Topic(
        "recommend_place",
        ("restaurant",),
        (
            (
                "{craving} {cuisine} {when}.",
                "Where can I eat {cuisine} near {area}, {budget}?",
                "I'm going out with {company} {when}, we'd like {cuisine} and {wish}.",
                "{craving} {cuisine}, {budget}, {polite}.",
                "Is there {cuisine} in {area} that locals go to?",
                "What would you recommend for {cuisine} {when}? I'm {diet}.",
            ),
            (
                "{place} in {area} serves {cuisine}. {praise}.",
                "How about {place}? It is {minutes} minutes away {ride}.",
                "I'd suggest {place}: {cuisine}, {budget}. {praise}.",
                "{place} could be right for you, {minutes} minutes {ride}.",
            ),
            (
                "Sounds good, do they have {wish}?",
                "Is it all right for somebody who is {diet}?",
                "I went there last year and loved it. Are they still as good?",
                "Can we go there with {company}?",
            ),
            (
                "Yes. Shall I book a table for {count}?",
                "Yes, and I have saved {place} to your favourites.",
                "Most guests say so, but call ahead to be sure.",
            ),
        ),
        weight=8,
    ),
    Topic(
        "book_table",
        ("restaurant",),
        (
            (
                "Can you book {place} for {count} at {hour}?",
                "A table for {count} at {place} at {hour}, {polite}.",
                "Please reserve {place} {when}. There will be {count} of us and we want {wish}.",
            ),
            (
                "{place} has a table for {count} at {hour}. Shall I take it?",
                "They have {wish} for {count} at {hour}. Is that all right?",
                "They are full at {hour}, but there is a table for {count} at {later}.",
            ),
            ("Yes, go ahead.", "Great, tell them one of us is {diet}.", "Take it, {polite}.", "{friend} says yes too."),
            ("Booked. I have put it into your trip.", "All set at {place}. Enjoy!", "Confirmed at {place}."),
        ),
        weight=4,
    ),
    Topic(
        "give_feedback",
        (),
        (
            (
                "{place} was wonderful, {company} loved it.",
                "The staff at {place} went out of their way for us.",
                "Great tip, {place}! Exactly what we needed {when}.",
                "I could go back to {place} every day.",
            ),
            (
                "Glad to hear that. Would you like to leave a review?",
                "Wonderful, I will remember {place} for you.",
                "Thank you for telling me, I have saved {place} to your favourites.",
            ),
        ),
        weight=2,
    ),
    Topic(
        "complain",
        (),
        (
            (
                "We waited {minutes} minutes at {place} and nobody came. Never again.",
                "I would not go back to {place}, it was overpriced.",
                "{place} was loud and crowded. Next time {wish}, {polite}.",
                "{place} was closed when we got there!",
            ),
            (
                "I'm sorry to hear that. Shall I find you {wish} next time?",
                "Sorry about that, I will not suggest {place} again.",
                "That is a pity. Would you like to leave a review of {place}?",
            ),
        ),
    ),
    Topic(
        "opening_hours",
        ("attraction",),
        (
            (
                "Is {place} open {when}?",
                "Until when can we visit {place}?",
                "What are the opening hours of {place}? We'd come {when}.",
            ),
            ("{place} closes at {closing}, last entry half an hour before.", "It is open from 10 until {closing}."),
            ("Thanks! And what does it cost?", "Do we need tickets in advance?"),
            (
                "{minutes} per person, and you buy the tickets at the door.",
                "Children are free, and no tickets are needed in advance.",
            ),
        ),
        weight=4,
    ),
    Topic(
        "directions",
        (),
        (
            (
                "How do I get to {place} {ride}?",
                "We're lost in {area}, which way is {place}?",
                "How far is {place} from here {ride}?",
            ),
            (
                "It is {minutes} minutes {ride}; turn left at the corner and keep on.",
                "{place} is in {area}, about {minutes} minutes {ride}.",
            ),
            ("Got it, thank you.", "{friend} can see it now.", "That far? We'll take a taxi."),
        ),
        weight=2,
    ),
    Topic(
        "find_hotel",
        ("hotel",),
        (
            (
                "Is there a room at {place} {when}?",
                "I need a hotel in {area}, {budget}, with parking.",
                "Where can {company} stay in {area}?",
            ),
            (
                "{place} has a double room, breakfast included.",
                "{place} in {area} fits: {minutes} minutes {ride} from the centre.",
            ),
            ("I'll take it, two nights {polite}.", "Is there wifi? If so, we'll take it."),
            ("Booked for two nights. Wifi is free.", "There is, and you are booked in at {place}."),
        ),
        weight=4,
    ),
    Topic(
        "check_in",
        ("hotel",),
        (
            ("Can we check in at {place} before noon?", "When is check-in at {place}? We arrive at {hour}."),
            ("Check-in at {place} is from 2 pm, but they keep your luggage.", "From {hour} on, I have told them."),
            ("Good, thank you.", "Great. Do they take dogs?"),
        ),
        weight=2,
    ),
    Topic(
        "find_sight",
        ("attraction",),
        (
            (
                "{weather}, what can we do with {company}?",
                "We'd like to see {sight} {when}.",
                "What is worth seeing in {area}? Maybe {sight}?",
                "Is {place} something for {company}?",
            ),
            ("{place} is worth a visit. {praise}.", "Try {place}, it is {minutes} minutes {ride} and free to enter."),
            ("We'll go {when}. Is there somewhere to eat nearby?", "Sounds good. And lunch afterwards?"),
            ("There are {count} places to eat within {minutes} minutes.", "Many, just follow the street to the right."),
        ),
        weight=5,
    ),
    Topic(
        "change_plan",
        (),
        (
            (
                "{weather}. Can we move {place} to another time?",
                "We are running {minutes} minutes late for {place}.",
                "Please drop {place} from the plan and find {sight} instead.",
                "{friend} is joining us at {place}, so we are {count} now.",
            ),
            ("Done, the plan is up to date.", "I have told them and changed the plan.", "No problem, that is settled."),
            ("You're a star.", "Thanks!", "Also tell {friend}, {polite}."),
        ),
    ),
    Topic(
        "lost_property",
        (),
        (
            ("I left {thing} at {place}, can you ask them?", "Did anybody hand in {thing} at {place}?"),
            (
                "I have written to {place} and will let you know.",
                "They found it and keep it at {place} until {closing}.",
            ),
            ("Oh good, thank you!", "I'll pick it up {when} then."),
        ),
    ),
    Topic(
        "small_talk",
        (),
        (
            ("{weather} in {city} today!", "We love {city}.", "My feet hurt, {minutes} thousand steps already."),
            ("Enjoy {city}! {place} is good for a rest.", "Then it is time for a break, maybe at {place}."),
        ),
    ),
)

REVIEWS: dict[str, tuple[str, ...]] = {
    "good": (
        "Loved {place}. We had {treat}.",
        "{place} was the best part of our stay in {city}. Went with {company}.",
        "Friendly, quick and {budget}. We will be back at {place}.",
        "If you like {cuisine}, go to {place}. We had {treat}.",
        "Everything right at {place}: the welcome, the {cuisine} menu, the price.",
        "Could have stayed all day at {place}. We had {treat}.",
    ),
    "fair": (
        "{place} is all right, nothing special. {minutes} minutes of waiting.",
        "Decent {cuisine}, but loud. Good enough {when}.",
        "{place}: nice staff, small portions of {cuisine}, {budget}.",
    ),
    "poor": (
        "Disappointed by {place}: {minutes} minutes in the queue and then this.",
        "{place} was dirty and rude. Would not go again with {company}.",
        "Overpriced {cuisine}. {place} lives off its name.",
        "Save your money, {place} lives off its name.",
    ),
}

SEARCHES: tuple[str, ...] = (
    "{cuisine} near {area}",
    "best {cuisine} in {city}",
    "{place}",
    "{wish} {city}",
    "{cuisine} {budget}",
    "things to do in {area} {when}",
    "{sight} {city}",
    "{style} restaurant in {area}",
    "{place} opening hours",
)

LIKES: dict[str, tuple[str, ...]] = {
    "loved": ("I could eat {taste} every day.", "{taste} is my absolute favourite.", "Nothing beats {taste}."),
    "liked": ("I like {taste}.", "{taste} is always fine with me.", "I'm quite fond of {taste}."),
    "disliked": ("I don't really like {taste}.", "No {taste} for me, please.", "I can't stand {taste}."),
}

PreferenceKind = Literal["activity", "lodging", "transport", "budget"]
PREFERENCES: tuple[tuple[PreferenceKind, str, str], ...] = (
    ("lodging", "guest house", "I prefer small guest houses to big hotels."),
    ("lodging", "hotel with parking", "We come by car, so parking matters."),
    ("transport", "walking", "I walk whenever I can."),
    ("transport", "taxi", "With my knee I need taxis."),
    ("budget", "cheap", "I'd rather spend little on food."),
    ("budget", "expensive", "On holidays I like to treat myself."),
    ("activity", "museums", "I could spend whole days in museums."),
    ("activity", "parks", "Parks and gardens calm me down."),
    ("activity", "nightlife", "We like to go out until late."),
    ("activity", "boat tours", "The kids love being on the water."),
)

UrgentKind = Literal["medical", "safety", "lost", "stranded", "documents", "other"]
URGENT: tuple[tuple[UrgentKind, str], ...] = (
    ("medical", "My husband has chest pains near {place}, please send help!"),
    ("lost", "My son is missing, we last saw him at {place}."),
    ("safety", "Somebody is following me, I went into {place}."),
    ("stranded", "The last bus is gone and we are stuck at {place} with two kids."),
    ("documents", "My bag with both passports was stolen at {place}."),
    ("other", "There is a fire alarm at {place} and we cannot find the exit."),
    ("medical", "I ate nuts at {place} by mistake and I am allergic, where is the nearest hospital?"),
)

CANCELLATIONS: tuple[str | None, ...] = (
    "plans changed",
    "one of us is ill",
    "found something closer",
    "the train is cancelled",
    None,
)
ERASURES: tuple[str | None, ...] = ("I no longer travel", "please delete everything about me", None)
