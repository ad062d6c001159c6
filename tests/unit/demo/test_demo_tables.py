import json
from pathlib import Path
from typing import Any

import pytest

from schemas.changes import PlaceRow, RestaurantRow
from streams.demo.documents import Problem, TableFileError
from streams.demo.positions import CAMBRIDGE, NEW_YORK, position
from streams.demo.tables import clean, load_places, load_restaurants

BAKERY: dict[str, Any] = {
    "address": {"building": "1007", "coord": [-73.856, 40.848], "street": "Morris  Park Ave", "zipcode": "10462"},
    "borough": "Bronx",
    "cuisine": "Bakery",
    "grades": [
        {"date": {"$date": "2013-09-11T00:00:00Z"}, "grade": "A", "score": 6},
        {"date": {"$date": 1393804800000}, "grade": "B", "score": {"$numberInt": "2"}},
    ],
    "name": "Morris Park  Bake Shop",
    "restaurant_id": "30075445",
}
HOTEL: dict[str, Any] = {
    "address": "124 tenison road",
    "area": "east",
    "id": "0",
    "internet": "yes",
    "location": [52.1963733, 0.1987426],
    "name": "a and b guest house",
    "parking": "no",
    "postcode": "cb12dp",
    "pricerange": "?",
    "stars": "4",
    "type": "guesthouse",
}


def restaurants(folder: Path, *documents: Any) -> tuple[list[RestaurantRow], list[Problem]]:
    path = folder / "restaurants.jsonl"
    path.write_text("\n".join(json.dumps(document) for document in documents))
    parsed = load_restaurants(path)
    return parsed.rows, parsed.problems


def places(folder: Path, *documents: Any) -> tuple[list[PlaceRow], list[Problem]]:
    path = folder / "places.json"
    path.write_text(json.dumps(documents))
    parsed = load_places(path)
    return parsed.rows, parsed.problems


def test_the_shipped_files_are_read_whole_and_without_a_problem() -> None:
    restaurants, places = load_restaurants(), load_places()
    assert (len(restaurants.rows), len(places.rows)) == (2_000, 222)
    assert (restaurants.problems, places.problems) == ([], [])
    assert {place.kind for place in places.rows} == {"restaurant", "attraction", "hotel"}


def test_the_shipped_restaurants_that_were_found_in_other_cities_have_no_position() -> None:
    lost = [row for row in load_restaurants().rows if row.lat is None]
    assert len(lost) == 24
    assert "Bar Six" in {row.name for row in lost}  # 502 Sixth Avenue, found in Iowa


def test_a_restaurant_becomes_a_row(tmp_path: Path) -> None:
    (row,), problems = restaurants(tmp_path, BAKERY)
    assert problems == []
    assert row == RestaurantRow(
        id="nyc-30075445",
        name="Morris Park Bake Shop",
        cuisine="Bakery",
        borough="Bronx",
        street="Morris Park Ave",
        building="1007",
        zipcode="10462",
        lat=40.848,
        lon=-73.856,
        grades='[{"date": "2014-03-03", "grade": "B", "score": 2}, {"date": "2013-09-11", "grade": "A", "score": 6}]',
    )


def test_a_place_becomes_a_row_whose_description_holds_what_has_no_column(tmp_path: Path) -> None:
    (row,), problems = places(tmp_path, HOTEL)
    assert problems == []
    assert row == PlaceRow(
        id="cam-hotel-0",
        name="a and b guest house",
        kind="hotel",
        area="east",
        address="124 tenison road",
        postcode="cb12dp",
        description="guesthouse; 4 stars; internet",
        lat=52.1963733,
        lon=0.1987426,
    )


def test_a_hotel_and_an_attraction_of_the_same_number_are_two_places(tmp_path: Path) -> None:
    rows, problems = places(tmp_path, HOTEL, {**HOTEL, "type": "museum"}, {**HOTEL, "kind": "restaurant"})
    assert [row.id for row in rows] == ["cam-hotel-0", "cam-attraction-0", "cam-restaurant-0"]
    assert problems == []


def test_bad_rows_are_reported_with_their_number_and_the_rest_is_loaded(tmp_path: Path) -> None:
    nameless = {key: value for key, value in BAKERY.items() if key != "name"}
    numberless = {key: value for key, value in BAKERY.items() if key != "restaurant_id"}
    rows, problems = restaurants(tmp_path, nameless, 7, BAKERY, numberless, {**BAKERY, "cuisine": "Pizza"})
    assert [row.cuisine for row in rows] == ["Bakery"]
    assert problems == [
        Problem(1, "has no `name`"),
        Problem(2, "is no object but int"),
        Problem(4, "has no `restaurant_id`"),
        Problem(5, "repeats nyc-30075445; the first one counts"),
    ]


def test_a_restaurant_survives_a_grade_without_date_a_missing_address_and_an_empty_name(tmp_path: Path) -> None:
    damaged = {**BAKERY, "address": None, "grades": [{"grade": "A"}, None, BAKERY["grades"][0]], "name": ""}
    (row,), problems = restaurants(tmp_path, damaged)
    assert (row.name, row.street, row.lat) == ("", None, None)
    assert json.loads(row.grades or "") == [{"date": "2013-09-11", "grade": "A", "score": 6}]
    assert problems == [Problem(1, "a grade without a date was left out")] * 2


def test_a_file_without_any_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text("1\n2\n")
    with pytest.raises(TableFileError, match="expected JSON lines or one JSON array"):
        load_places(tmp_path / "empty.json")


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Science Cafe (Queensborough  Community College)", "Science Cafe (Queensborough Community College)"),
        (" \tBar\x00Six\n", "Bar Six"),
        ("CafÃ©/Coffee/Tea", "Café/Coffee/Tea"),
        ("Café Â", "Café Â"),
        ("SÃO PAULO", "SÃO PAULO"),
        ("?", None),
        ("  ", None),
        (None, None),
        (["a"], None),
        (30075445, "30075445"),
    ],
)
def test_text_is_cleaned_and_nothing_is_invented(text: Any, cleaned: str | None) -> None:
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    ("lat", "lon"),
    [
        (None, -73.9),
        ("40.7", -73.9),
        (True, False),
        (0, 0),
        (0.0, -0.0),
        (float("nan"), -73.9),
        (float("inf"), -73.9),
        (95.0, -73.9),
        (40.7, -273.9),
        (-73.9, 40.7),  # swapped
        (41.746, -92.731),  # Iowa
    ],
)
def test_a_wrong_position_of_a_known_borough_is_none(lat: Any, lon: Any) -> None:
    assert position(lat, lon, expected=NEW_YORK, certain=True) is None


@pytest.mark.parametrize(("lat", "lon"), [(-73.9, 40.7), (0, 0), (91, 0), (None, None)])
def test_a_swapped_or_impossible_position_is_none_even_where_the_address_proves_nothing(lat: Any, lon: Any) -> None:
    assert position(lat, lon, expected=NEW_YORK, certain=False) is None


def test_a_position_elsewhere_is_believed_where_the_address_proves_nothing() -> None:
    assert position(48.8606, 2.3376, expected=CAMBRIDGE, certain=False) == (48.8606, 2.3376)


def test_a_place_with_a_swapped_location_keeps_everything_but_its_position(tmp_path: Path) -> None:
    (row,), _ = places(tmp_path, {**HOTEL, "location": [0.1987426, 52.1963733]})
    assert (row.name, row.lat, row.lon) == ("a and b guest house", None, None)


def test_a_location_of_three_numbers_is_no_position(tmp_path: Path) -> None:
    (row,), _ = places(tmp_path, {**HOTEL, "location": [52.1, 0.1, 7]})
    assert row.lat is None
