"""A fictional business database of motorway service areas; a seed always gives the same rows.

Eleven tables and a view with foreign keys (one to its own table, one bridge), comments, dates, enumerations, checks,
and columns of personal data. All people in it are fictional.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, Final

SEED: Final = 7
FIRST_DAY: Final = date(2025, 1, 1)
DAYS: Final = 365
AREAS: Final = 24
SHOPS: Final = 110
EMPLOYEES: Final = 420
MEMBERS: Final = 2_500
SUPPLIERS: Final = 30
PRODUCTS: Final = 180
SALES: Final = 12_000

SCHEMA: Final = """
CREATE TABLE motorway ( -- roads of the network
  motorway_id INTEGER PRIMARY KEY,
  code TEXT NOT NULL UNIQUE, -- road number on signs
  name TEXT NOT NULL, -- the towns it joins
  length_km NUMERIC(6, 1) NOT NULL CHECK (length_km > 0), -- length in kilometres
  opened_on DATE NOT NULL -- first day of traffic
);
CREATE TABLE company ( -- companies that operate service areas
  company_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE, -- registered name
  tax_number TEXT NOT NULL UNIQUE, -- number at the tax office
  founded_on DATE -- day of registration
);
CREATE TABLE service_area ( -- places to stop, one side of a motorway each
  service_area_id INTEGER PRIMARY KEY,
  motorway_id INTEGER NOT NULL REFERENCES motorway (motorway_id),
  company_id INTEGER NOT NULL REFERENCES company (company_id), -- who operates it
  name TEXT NOT NULL, -- name on signs
  direction TEXT NOT NULL CHECK (direction IN ('north', 'south', 'east', 'west')), -- side of the road
  kilometre NUMERIC(6, 1) NOT NULL, -- where it lies on the motorway
  parking_spaces INTEGER NOT NULL DEFAULT 0, -- for cars
  has_charging BOOLEAN NOT NULL DEFAULT 0, -- chargers for electric cars
  status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'building', 'closed')),
  opened_on DATE, -- empty while it is being built
  UNIQUE (motorway_id, direction, kilometre)
);
CREATE TABLE shop ( -- shops, restaurants and fuel stations in a service area
  shop_id INTEGER PRIMARY KEY,
  service_area_id INTEGER NOT NULL REFERENCES service_area (service_area_id),
  name TEXT NOT NULL,
  category TEXT NOT NULL CHECK (category IN ('restaurant', 'fuel', 'store', 'coffee', 'hotel')),
  floor_square_metres INTEGER, -- rented floor
  monthly_rent NUMERIC(10, 2) NOT NULL, -- in euros
  rented_since DATE NOT NULL
);
CREATE TABLE employee ( -- people who work in service areas
  employee_id INTEGER PRIMARY KEY,
  service_area_id INTEGER NOT NULL REFERENCES service_area (service_area_id),
  manager_id INTEGER REFERENCES employee (employee_id), -- empty for the head of a service area
  full_name TEXT NOT NULL, -- personal
  email TEXT NOT NULL UNIQUE, -- personal
  phone TEXT NOT NULL, -- personal
  id_card_number TEXT NOT NULL UNIQUE, -- personal
  position TEXT NOT NULL CHECK (position IN ('head', 'shift leader', 'clerk', 'cook', 'technician')),
  salary NUMERIC(8, 2) NOT NULL CHECK (salary > 0), -- a month, in euros
  hired_on DATE NOT NULL,
  left_on DATE -- empty while employed
);
CREATE TABLE member ( -- members of the loyalty programme
  member_id INTEGER PRIMARY KEY,
  full_name TEXT NOT NULL, -- personal
  email TEXT, -- personal
  phone TEXT NOT NULL, -- personal
  plate_number TEXT, -- of the member's car, personal
  birthday DATE, -- personal
  level TEXT NOT NULL DEFAULT 'bronze' CHECK (level IN ('bronze', 'silver', 'gold')),
  joined_on DATE NOT NULL
);
CREATE TABLE supplier ( -- who delivers products
  supplier_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  contact_name TEXT NOT NULL, -- personal
  contact_email TEXT NOT NULL, -- personal
  city TEXT NOT NULL
);
CREATE TABLE product ( -- what shops sell
  product_id INTEGER PRIMARY KEY,
  supplier_id INTEGER NOT NULL REFERENCES supplier (supplier_id),
  name TEXT NOT NULL UNIQUE,
  category TEXT NOT NULL CHECK (category IN ('meal', 'drink', 'snack', 'fuel', 'travel')),
  unit_price NUMERIC(8, 2) NOT NULL CHECK (unit_price >= 0), -- in euros, without discount
  discontinued_on DATE -- empty while it is sold
);
CREATE TABLE sale ( -- one receipt
  sale_id INTEGER PRIMARY KEY,
  shop_id INTEGER NOT NULL REFERENCES shop (shop_id),
  member_id INTEGER REFERENCES member (member_id), -- empty for customers who are not members
  cashier_id INTEGER NOT NULL REFERENCES employee (employee_id),
  sold_at TIMESTAMP NOT NULL, -- local time
  payment_method TEXT NOT NULL CHECK (payment_method IN ('cash', 'card', 'app', 'fuel card')),
  total NUMERIC(10, 2) NOT NULL -- in euros, all items together
);
CREATE INDEX sale_by_time ON sale (sold_at);
CREATE TABLE sale_item ( -- the lines of a receipt
  sale_id INTEGER NOT NULL REFERENCES sale (sale_id),
  product_id INTEGER NOT NULL REFERENCES product (product_id),
  quantity INTEGER NOT NULL CHECK (quantity > 0),
  unit_price NUMERIC(8, 2) NOT NULL, -- as paid, in euros
  PRIMARY KEY (sale_id, product_id)
);
CREATE TABLE traffic_count ( -- vehicles that turned in, a day and kind
  service_area_id INTEGER NOT NULL REFERENCES service_area (service_area_id),
  counted_on DATE NOT NULL,
  vehicle_type TEXT NOT NULL CHECK (vehicle_type IN ('car', 'lorry', 'coach')),
  vehicles INTEGER NOT NULL,
  PRIMARY KEY (service_area_id, counted_on, vehicle_type)
);
CREATE VIEW daily_revenue AS
  SELECT shop.service_area_id, date(sale.sold_at) AS day, count(*) AS sales, sum(sale.total) AS revenue
  FROM sale JOIN shop ON shop.shop_id = sale.shop_id
  GROUP BY shop.service_area_id, date(sale.sold_at);
"""

TABLES: Final = (
    "motorway", "company", "service_area", "shop", "employee", "member", "supplier", "product", "sale", "sale_item",
    "traffic_count", "daily_revenue",
)  # fmt: skip

TOWNS = ("Alder", "Brook", "Cedar", "Dale", "Elm", "Fern", "Grove", "Heath", "Ivy", "Juniper", "Kestrel", "Lark")
GIVEN = ("Ada", "Ben", "Chen", "Dana", "Emil", "Fatima", "Goran", "Hana", "Ivan", "Jun", "Kofi", "Lena", "Mei", "Nils",
         "Olga", "Pavel", "Rosa", "Sven", "Tara", "Wei")  # fmt: skip
FAMILY = ("Abel", "Brandt", "Costa", "Dietz", "Eriksen", "Fischer", "Garcia", "Huang", "Ito", "Janssen", "Kaya", "Li",
          "Moreau", "Novak", "Okafor", "Petrov", "Rossi", "Sato", "Tanaka", "Zhou")  # fmt: skip
GOODS = {
    "meal": ("Lasagne", "Goulash", "Curry", "Noodle soup", "Burger", "Salad bowl"),
    "drink": ("Coffee", "Tea", "Water", "Apple juice", "Cola", "Ginger ale"),
    "snack": ("Sandwich", "Pretzel", "Nut mix", "Chocolate bar", "Crisps", "Fruit cup"),
    "fuel": ("Diesel", "Petrol 95", "Petrol 98", "Fast charging", "AdBlue", "Engine oil"),
    "travel": ("Road map", "Ice scraper", "Neck pillow", "First-aid kit", "Phone cable", "Sunglasses"),
}
SIZES = ("small", "regular", "large", "family", "organic", "classic")
SHOP_NAMES = {"restaurant": "Kitchen", "fuel": "Fuel", "store": "Market", "coffee": "Coffee", "hotel": "Inn"}

Row = tuple[Any, ...]


def build_database(path: str, *, seed: int = SEED) -> dict[str, int]:
    """Create an SQLite file at `path`, which must not exist, and return the number of rows by table."""
    rows = _rows(random.Random(seed))  # noqa: S311 - the same every time is the point
    connection = sqlite3.connect(path)
    try:
        with connection:
            connection.executescript(SCHEMA)
            for table, content in rows.items():
                places = ", ".join("?" * len(content[0]))
                connection.executemany(f"INSERT INTO {table} VALUES ({places})", content)  # noqa: S608 - our own names
        assert not connection.execute("PRAGMA foreign_key_check").fetchall()
    finally:
        connection.close()
    return {table: len(content) for table, content in rows.items()}


def _rows(chance: random.Random) -> dict[str, list[Row]]:
    areas = list(_service_areas(chance))
    shops = list(_shops(chance))
    employees = list(_employees(chance))
    products = list(_products(chance))
    sales, items = _sales(chance, shops, employees, products)
    return {
        "motorway": [
            (number, f"M{number:02}", f"{TOWNS[number]} - {TOWNS[number + 4]}", round(chance.uniform(80, 420), 1),
             _day(chance, -9000, -3000))
            for number in range(1, 7)
        ],
        "company": [
            (number, f"{TOWNS[number * 2]} Roadside {ending}", f"DE{chance.randrange(10**8, 10**9)}",
             _day(chance, -9000, -4000))
            for number, ending in enumerate(("Ltd", "AG", "Group", "GmbH"), start=1)
        ],
        "service_area": areas,
        "shop": shops,
        "employee": employees,
        "member": list(_members(chance)),
        "supplier": [
            (number, f"{FAMILY[number % 20]} {('Foods', 'Trading', 'Energy')[number // 20]}", *_contact(chance, number),
             chance.choice(TOWNS))
            for number in range(1, SUPPLIERS + 1)
        ],
        "product": products,
        "sale": sales,
        "sale_item": items,
        "traffic_count": list(_traffic(chance, areas)),
    }  # fmt: skip


def _service_areas(chance: random.Random) -> Iterable[Row]:
    for number in range(1, AREAS + 1):
        status = "building" if number == AREAS else "closed" if number == AREAS - 1 else "open"
        sides = ("north", "south") if number % 4 < 2 else ("east", "west")
        opened = None if status == "building" else _day(chance, -4000, -400)
        name = f"{TOWNS[number // 2 % 12]} {('Hill', 'Lake')[number // 24]}"
        yield (number, number % 6 + 1, number % 4 + 1, name, sides[number % 2], 10.0 + number * 3.5,
               chance.randrange(40, 320, 10), int(chance.random() < 0.6), status, opened)  # fmt: skip


def _shops(chance: random.Random) -> Iterable[Row]:
    kinds = list(SHOP_NAMES)
    for number in range(1, SHOPS + 1):
        kind = kinds[number % 5]
        area = number % (AREAS - 1) + 1  # the area under construction has no shops
        name = f"{chance.choice(FAMILY)}'s {SHOP_NAMES[kind]}"
        floor = None if chance.random() < 0.05 else chance.randrange(30, 600, 5)
        yield number, area, name, kind, floor, round(chance.uniform(800, 9000), 2), _day(chance, -2500, -100)


def _employees(chance: random.Random) -> Iterable[Row]:
    positions = ("shift leader", "clerk", "clerk", "cook", "technician")
    for number in range(1, EMPLOYEES + 1):
        area = (number - 1) % (AREAS - 1) + 1
        is_head = number < AREAS
        given, family = chance.choice(GIVEN), chance.choice(FAMILY)
        left = _day(chance, 0, DAYS) if not is_head and chance.random() < 0.1 else None
        yield (
            number, area, None if is_head else area, f"{given} {family}",
            f"{given}.{family}{number}@roadside.example".lower(), _phone(chance),
            f"{chance.randrange(10**9, 10**10)}{number:04}", "head" if is_head else chance.choice(positions),
            round(chance.uniform(4200, 6800) if is_head else chance.uniform(2100, 3900), 2), _day(chance, -3500, -30),
            left,
        )  # fmt: skip


def _members(chance: random.Random) -> Iterable[Row]:
    for number in range(1, MEMBERS + 1):
        given, family = chance.choice(GIVEN), chance.choice(FAMILY)
        email = None if chance.random() < 0.15 else f"{given}.{family}{number}@mail.example".lower()
        plate = None if chance.random() < 0.2 else f"{chance.choice('ABEHKLM')}-{chance.choice('XYZ')} {1000 + number}"
        level = chance.choices(("bronze", "silver", "gold"), (70, 22, 8))[0]
        birthday = None if chance.random() < 0.3 else _day(chance, -25_000, -7000)
        yield number, f"{given} {family}", email, _phone(chance), plate, birthday, level, _day(chance, -2000, DAYS - 1)


def _products(chance: random.Random) -> Iterable[Row]:
    prices = {"meal": 12.5, "drink": 3.2, "snack": 4.1, "fuel": 48.0, "travel": 15.0}
    kinds = [(kind, goods, size) for kind, names in GOODS.items() for goods in names for size in SIZES]
    for number, (kind, goods, size) in enumerate(kinds[:PRODUCTS], start=1):
        gone = _day(chance, 0, DAYS) if chance.random() < 0.06 else None
        price = round(prices[kind] * chance.uniform(0.6, 1.8), 2)
        yield number, number % SUPPLIERS + 1, f"{goods}, {size}", kind, price, gone


def _sales(
    chance: random.Random, shops: Sequence[Row], employees: Sequence[Row], products: Sequence[Row]
) -> tuple[list[Row], list[Row]]:
    crew: dict[int, list[int]] = {}
    for employee in employees:
        crew.setdefault(employee[1], []).append(employee[0])
    sales: list[Row] = []
    items: list[Row] = []
    start = datetime.combine(FIRST_DAY, time(6))
    for number in range(1, SALES + 1):
        shop = shops[chance.randrange(SHOPS)]
        lines = [
            (number, product[0], chance.choices((1, 2, 3, 4), (70, 20, 7, 3))[0], product[4])
            for product in chance.sample(products, chance.choices((1, 2, 3, 5), (40, 35, 18, 7))[0])
        ]
        member = chance.randrange(1, MEMBERS + 1) if chance.random() < 0.35 else None
        method = chance.choices(("card", "cash", "app", "fuel card"), (48, 25, 17, 10))[0]
        at = start + timedelta(days=chance.randrange(DAYS), minutes=chance.randrange(960))
        total = round(sum(quantity * price for _, _, quantity, price in lines), 2)
        sales.append((number, shop[0], member, chance.choice(crew[shop[1]]), at.isoformat(" "), method, total))
        items += lines
    return sales, items


def _traffic(chance: random.Random, areas: Sequence[Row]) -> Iterable[Row]:
    usual = {"car": 2400, "lorry": 700, "coach": 60}
    for area in areas:
        if area[8] != "open":
            continue
        size = chance.uniform(0.4, 1.6)
        for day in range(DAYS):
            season = 1.35 if 180 <= day < 245 else 1.0
            for kind, vehicles in usual.items():
                count = int(vehicles * size * season * chance.uniform(0.7, 1.3))
                yield area[0], (FIRST_DAY + timedelta(days=day)).isoformat(), kind, count


def _contact(chance: random.Random, number: int) -> tuple[str, str]:
    given, family = chance.choice(GIVEN), chance.choice(FAMILY)
    return f"{given} {family}", f"{family}{number}@supplier.example".lower()


def _phone(chance: random.Random) -> str:
    return f"+49 30 {chance.randrange(10**6, 10**7)}"


def _day(chance: random.Random, earliest: int, latest: int) -> str:
    """Return a random day between two offsets from the first day of the traffic."""
    return (FIRST_DAY + timedelta(days=chance.randrange(earliest, latest))).isoformat()
