"""The travellers: names, home cities, languages, diets and tastes."""

from collections.abc import Sequence
from random import Random

from msgspec import Struct

from schemas.changes import UserRow
from streams.demo.spots import Gazetteer

# Language, share of the travellers, home cities, given names, family names.
_ORIGINS: list[tuple[str, float, list[str], list[str], list[str]]] = [
    (
        "en",
        0.62,
        ["New York", "London", "Boston", "Toronto", "Dublin", "Melbourne", "Chicago", "Manchester", "Auckland"],
        [
            "Olivia",
            "James",
            "Amelia",
            "Noah",
            "Grace",
            "Henry",
            "Priya",
            "Omar",
            "Chloe",
            "Ethan",
            "Maya",
            "Daniel",
            "Ruth",
            "Samuel",
            "Aisha",
            "Leo",
            "Hannah",
            "Victor",
            "Nora",
            "Theo",
            "Imogen",
            "Caleb",
            "Zainab",
            "Owen",
        ],
        [
            "Smith",
            "Patel",
            "Murphy",
            "Johnson",
            "Okafor",
            "Nguyen",
            "Clark",
            "Hughes",
            "Cohen",
            "Walker",
            "Khan",
            "Bennett",
            "Rossi",
            "Campbell",
            "Adeyemi",
            "Foster",
            "Novak",
            "Reid",
            "Silva",
            "Turner",
            "Lindqvist",
        ],
    ),
    (
        "ko",
        0.14,
        ["Seoul", "Busan", "Incheon", "Daegu"],
        ["Ji-woo", "Min-jun", "Seo-yeon", "Ha-eun", "Do-yun", "Ye-jin", "Hyun-woo", "Su-bin", "Jae-ho", "Na-ri"],
        ["Kim", "Lee", "Park", "Choi", "Jung", "Kang", "Cho", "Yoon", "Lim", "Han"],
    ),
    (
        "es",
        0.13,
        ["Madrid", "Mexico City", "Bogotá", "Barcelona", "Buenos Aires", "Lima"],
        ["Lucía", "Mateo", "Sofía", "Diego", "Valentina", "Javier", "Camila", "Andrés", "Inés", "Pablo"],
        ["García", "Fernández", "Martínez", "Romero", "Vargas", "Ortega", "Núñez", "Castillo", "Peña", "Ríos"],
    ),
    (
        "fr",
        0.11,
        ["Paris", "Lyon", "Montréal", "Bruxelles", "Genève"],
        ["Camille", "Louis", "Élise", "Hugo", "Manon", "Antoine", "Chloé", "Mathieu", "Inès", "Rémi"],
        ["Martin", "Bernard", "Lefèvre", "Moreau", "Girard", "Fontaine", "Dubois", "Roche", "Gauthier", "Blanc"],
    ),
]
_DIETS: list[tuple[str | None, float]] = [
    (None, 0.7),
    ("vegetarian", 0.13),
    ("vegan", 0.05),
    ("halal", 0.05),
    ("kosher", 0.03),
    ("gluten-free", 0.04),
]


class Traveller(Struct, frozen=True, kw_only=True):
    """A traveller, where they are these days, and what they like: strengths from -1 to 1 by cuisine.

    Cuisines stand as in the table of their city, so that a taste and a restaurant meet.
    """

    id: str
    name: str
    home_city: str
    language: str
    diet: str | None
    city: str
    tastes: dict[str, float]

    @property
    def liked(self) -> list[str]:
        """The cuisines they like, strongest first."""
        return sorted((name for name, strength in self.tastes.items() if strength > 0), key=lambda t: -self.tastes[t])

    @property
    def row(self) -> UserRow:
        """Their row in the table of users."""
        return UserRow(id=self.id, name=self.name, home_city=self.home_city, language=self.language, diet=self.diet)


def travellers(rng: Random, count: int, gazetteer: Gazetteer) -> list[Traveller]:
    """Return `count` travellers, numbered from 1; no two have the same id, some have the same name."""
    served = {city: gazetteer.cuisines(city) for city in gazetteer.cities}
    people: list[Traveller] = []
    for number in range(1, count + 1):
        ((language, _, homes, given, family),) = rng.choices(_ORIGINS, [share for _, share, *_ in _ORIGINS])
        ((diet, _),) = rng.choices(_DIETS, [share for _, share in _DIETS])
        city = rng.choice(gazetteer.cities)
        people.append(
            Traveller(
                id=f"traveller-{number:04d}",
                name=f"{rng.choice(given)} {rng.choice(family)}",
                home_city=rng.choice(homes),
                language=language,
                diet=diet,
                city=city,
                tastes=_tastes(rng, served[city]),
            )
        )
    return people


def _tastes(rng: Random, served: dict[str, int]) -> dict[str, float]:
    """Return three to five cuisines with a strength; what many restaurants serve is liked by more people."""
    names: Sequence[str] = list(served)
    weights = [served[name] ** 0.5 for name in names]
    chosen = dict.fromkeys(rng.choices(names, weights, k=rng.randint(3, 5))) if names else {}
    return {
        # The first one is always liked, so that everybody has a reason to go somewhere.
        name: round(rng.uniform(0.55, 1) if place == 0 or rng.random() < 0.75 else rng.uniform(-1, -0.2), 2)
        for place, name in enumerate(chosen)
    }
