"""What travellers say in Korean, Spanish and French; see `phrases.py`."""

from streams.demo.phrases import Topic

OTHER_LANGUAGES: dict[str, tuple[Topic, ...]] = {
    "ko": (
        Topic(
            "recommend_place",
            ("restaurant",),
            (
                (
                    "{district} 근처에 {cuisine} 맛집 있어요?",
                    "오늘 저녁에 {cuisine} 먹고 싶어요.",
                    "조용히 {cuisine} 먹을 수 있는 곳을 찾고 있어요.",
                ),
                (
                    "{place} 추천해요. 걸어서 {minutes}분 거리예요.",
                    "{place} 어때요? 평점이 아주 좋아요.",
                    "{district}에 있는 {place} 어떠세요?",
                ),
                ("좋아요, 예약해 주세요.", "거기 가 본 적 있어요. 정말 맛있었어요.", "감사합니다!"),
            ),
        ),
        Topic(
            "directions",
            (),
            (
                ("{place}까지 어떻게 가요?", "길을 잃었어요. {place}, 어느 쪽이에요?"),
                ("버스로 {minutes}분쯤 걸려요.", "왼쪽으로 {minutes}분만 걸어가세요."),
            ),
        ),
        Topic("opening_hours", (), (("{place}, 몇 시까지 해요?",), ("{closing}시까지 열어요.",))),
    ),
    "es": (
        Topic(
            "recommend_place",
            ("restaurant",),
            (
                (
                    "¿Dónde puedo comer {cuisine} cerca de {district}?",
                    "Me apetece {cuisine} esta noche.",
                    "Somos {count_es} y queremos {cuisine}, algo tranquilo.",
                ),
                (
                    "Te recomiendo {place}, está a {minutes} minutos a pie.",
                    "{place} tiene muy buenas opiniones.",
                    "En {district} está {place}.",
                ),
                ("Perfecto, reserva una mesa.", "Ya hemos estado, nos encantó.", "¡Muchas gracias!"),
            ),
        ),
        Topic(
            "directions",
            (),
            (
                ("¿Cómo llego a {place}?", "Nos hemos perdido, ¿dónde está {place}?"),
                ("En autobús son {minutes} minutos.", "Sigue todo recto, son {minutes} minutos a pie."),
            ),
        ),
        Topic("opening_hours", (), (("¿A qué hora cierra {place}?",), ("Cierra a las {closing}.",))),
        Topic(
            "lost_property",
            (),
            (("Hemos dejado la maleta en {place}.",), ("Ya les he escrito, te aviso en cuanto contesten.",)),
        ),
    ),
    "fr": (
        Topic(
            "recommend_place",
            ("restaurant",),
            (
                (
                    "Où manger {cuisine} près de {district} ?",
                    "J'ai envie de {cuisine} ce soir.",
                    "Nous serons {count_fr} et cherchons {cuisine}, au calme.",
                ),
                (
                    "Je vous conseille {place}, à {minutes} minutes à pied.",
                    "{place} est très bien noté.",
                    "À {district}, il y a {place}.",
                ),
                ("Parfait, réservez une table.", "On y est déjà allés, c'était délicieux.", "Merci beaucoup !"),
            ),
        ),
        Topic(
            "directions",
            (),
            (
                ("Comment aller à {place} ?", "On est perdus, où se trouve {place} ?"),
                ("En bus, c'est à {minutes} minutes.", "Tout droit, à {minutes} minutes à pied."),
            ),
        ),
        Topic("opening_hours", (), (("{place} ferme à quelle heure ?",), ("À {closing} heures.",))),
        Topic(
            "lost_property",
            (),
            (("On a oublié un parapluie à {place}.",), ("Je leur ai écrit, je vous tiens au courant.",)),
        ),
    ),
}
