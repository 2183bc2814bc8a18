"""Questions about the demo's database in several phrasings, in English and Chinese: the same plan, other words.

One phrasing of a plan is stored with its SQL, another one asks: what should be found is known. Plans are near to each
other on purpose: they share tables, measures and values. `is_held_out` halves them: one half to tune on, one to report.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

SEED: Final = 20250121


@dataclass(frozen=True)
class Paraphrase:
    """A plan: what is stored, and what is asked in other words."""

    stored: str
    sql: str
    asked: str
    is_held_out: bool


@dataclass(frozen=True)
class _Word:
    """A value of a slot: how it is said in each language (several ways), and in SQL."""

    en: Sequence[str]
    zh: Sequence[str]
    sql: str


@dataclass(frozen=True)
class _Intent:
    """One kind of question: its slots, its SQL, and its phrasings; `{0}` is the first slot."""

    slots: Sequence[Sequence[_Word]]
    sql: str
    en: Sequence[str]
    zh: Sequence[str]


def _word(en: str, zh: str, sql: str) -> _Word:
    """Ways of saying it are separated by `/`."""
    return _Word(en.split("/"), zh.split("/"), sql)


_MEASURES: Final = (
    ("sale", "sum(sale.total)", "total sales/total value of sales/sales in total", "销售总额/总销售额/销售额合计"),
    ("sale", "count(*)", "number of receipts/how many receipts/count of receipts", "小票数量/小票张数/小票的数量"),
    (
        "sale",
        "avg(sale.total)",
        "average receipt value/mean value of a receipt/average value per receipt",
        "平均小票金额/小票平均金额/小票金额的均值",
    ),
    (
        "sale",
        "max(sale.total)",
        "largest receipt/highest receipt value/biggest receipt",
        "最大的小票金额/最高小票金额/小票金额最大值",
    ),
    (
        "sale",
        "count(DISTINCT sale.member_id)",
        "number of members who bought something/how many members bought/members who made a purchase",
        "购买过的会员人数/有消费的会员数量/消费会员的人数",
    ),
    ("shop", "count(*)", "number of shops/how many shops/count of shops", "商铺数量/商铺的数目/商铺有多少家"),
    (
        "shop",
        "avg(shop.monthly_rent)",
        "average monthly rent/mean rent per month/monthly rent on average",
        "平均月租金/月租金的平均值/月租金均值",
    ),
    (
        "shop",
        "sum(shop.monthly_rent)",
        "total monthly rent/sum of monthly rents/rent in total per month",
        "月租金总额/月租金合计/每月租金总数",
    ),
    (
        "shop",
        "max(shop.floor_square_metres)",
        "largest shop floor/biggest floor area of a shop/maximum floor area",
        "最大的商铺面积/商铺面积的最大值/商铺最大面积",
    ),
    (
        "shop",
        "sum(shop.floor_square_metres)",
        "total floor area/sum of floor areas/floor area in total",
        "商铺总面积/商铺面积合计/商铺面积总和",
    ),
    (
        "employee",
        "count(*)",
        "number of employees/how many employees/head count of employees",
        "员工人数/员工数量/员工有多少人",
    ),
    (
        "employee",
        "avg(employee.salary)",
        "average salary/mean salary/salary on average",
        "平均工资/工资平均值/工资的均值",
    ),
    ("employee", "max(employee.salary)", "highest salary/largest salary/top salary", "最高工资/工资最大值/最高的工资"),
    (
        "employee",
        "sum(employee.salary)",
        "total of salaries/sum of all salaries/salary costs in total",
        "工资总额/工资合计/工资支出总额",
    ),
    (
        "employee",
        "count(employee.left_on)",
        "number of people who left/how many employees left/departures of employees",
        "离职员工人数/已离职的员工数/离职人数",
    ),
    (
        "service_area",
        "sum(service_area.parking_spaces)",
        "total parking spaces/sum of parking spaces/parking spaces in all",
        "停车位总数/停车位合计/停车位总和",
    ),
    (
        "service_area",
        "avg(service_area.parking_spaces)",
        "average parking spaces/mean number of parking spaces/parking spaces on average",
        "平均停车位/停车位平均数/停车位的均值",
    ),
    (
        "service_area",
        "count(*)",
        "number of service areas/how many service areas/count of service areas",
        "服务区数量/服务区个数/服务区有多少个",
    ),
    (
        "service_area",
        "sum(service_area.has_charging)",
        "number of service areas with charging/how many service areas have chargers/service areas that have charging",
        "有充电桩的服务区数量/带充电的服务区个数/配充电桩的服务区有多少",
    ),
    (
        "service_area",
        "min(service_area.opened_on)",
        "earliest opening date/first opening day/oldest opening date",
        "最早开业日期/首个开业日期/最早的开业时间",
    ),
    (
        "traffic_count",
        "sum(traffic_count.vehicles)",
        "total vehicles/sum of vehicles counted/vehicles counted in total",
        "车流总量/车辆总数/驶入车辆合计",
    ),
    (
        "traffic_count",
        "avg(traffic_count.vehicles)",
        "average vehicles per count/mean number of vehicles a day/average daily vehicles",
        "平均车流量/日均车辆数/车辆的日平均数",
    ),
    (
        "traffic_count",
        "max(traffic_count.vehicles)",
        "most vehicles on one day/peak number of vehicles/maximum vehicles in a day",
        "单日最高车流/车流峰值/一天最多车辆数",
    ),
    (
        "sale_item",
        "sum(sale_item.quantity)",
        "pieces sold/number of pieces sold/quantity sold",
        "销售件数/售出件数/卖出的件数",
    ),
    (
        "sale_item",
        "sum(sale_item.quantity * sale_item.unit_price)",
        "turnover of products/product turnover/turnover from products",
        "商品营业额/商品的营业额/商品销售营业额",
    ),
    (
        "sale_item",
        "avg(sale_item.unit_price)",
        "average price paid/mean price as paid/price paid on average",
        "平均成交价/成交价均值/成交价格的平均值",
    ),
    (
        "product",
        "count(*)",
        "number of products/how many products/count of products",
        "商品种类数/商品有多少种/商品数量",
    ),
    (
        "product",
        "avg(product.unit_price)",
        "average list price/mean list price/list price on average",
        "平均标价/标价均值/标价的平均值",
    ),
    (
        "product",
        "max(product.unit_price)",
        "highest list price/most expensive list price/top list price",
        "最高标价/标价最大值/最高的标价",
    ),
    (
        "product",
        "count(product.discontinued_on)",
        "number of discontinued products/how many products were discontinued/discontinued products",
        "停售商品数/已停售的商品数量/停售的商品有多少",
    ),
    ("member", "count(*)", "number of members/how many members/count of members", "会员人数/会员数量/会员有多少人"),
    (
        "member",
        "max(member.joined_on)",
        "newest joining date/latest day a member joined/last joining date",
        "最近的入会日期/最新入会日期/最晚入会时间",
    ),
    (
        "sale",
        "min(sale.total)",
        "smallest receipt/lowest receipt value/least receipt value",
        "最小的小票金额/最低小票金额/小票金额最小值",
    ),
    (
        "shop",
        "min(shop.monthly_rent)",
        "lowest monthly rent/smallest rent per month/cheapest monthly rent",
        "最低月租金/月租金最小值/最便宜的月租金",
    ),
    (
        "shop",
        "avg(shop.floor_square_metres)",
        "average floor area/mean floor area/floor area on average",
        "商铺平均面积/商铺面积均值/商铺面积的平均值",
    ),
    (
        "employee",
        "min(employee.salary)",
        "lowest salary/smallest salary/minimum salary",
        "最低工资/工资最小值/最低的工资",
    ),
    (
        "employee",
        "min(employee.hired_on)",
        "earliest hiring date/first hiring day/oldest date of hiring",
        "最早入职日期/首个入职日期/最早的入职时间",
    ),
    (
        "service_area",
        "max(service_area.kilometre)",
        "last kilometre/highest kilometre mark/largest kilometre",
        "最大公里数/公里桩号最大值/最远公里数",
    ),
    (
        "sale_item",
        "count(DISTINCT sale_item.product_id)",
        "number of different products sold/how many different products sold/distinct products sold",
        "售出的不同商品数/卖出多少种不同商品/不同商品的销售种数",
    ),
    (
        "traffic_count",
        "min(traffic_count.vehicles)",
        "fewest vehicles on one day/lowest number of vehicles/minimum vehicles in a day",
        "单日最低车流/车流最小值/一天最少车辆数",
    ),
)
"""What is measured: its table, its SQL, and three ways of saying it, in English and in Chinese."""

_GROUPS: Final = {
    "sale": (
        (
            "sale.payment_method",
            "by payment method/for each way of payment/per payment method",
            "按支付方式/各支付方式的/每种支付方式的",
        ),
        (
            "shop.category",
            "by shop category/for each category of shops/per shop category",
            "按商铺类别/各商铺类别的/每类商铺的",
        ),
        (
            "service_area.name",
            "by service area/for each service area/per service area",
            "按服务区/各服务区的/每个服务区的",
        ),
        (
            "member.level",
            "by member level/for each level of members/per membership level",
            "按会员等级/各会员等级的/每个会员等级的",
        ),
        ("company.name", "by company/for each company/per operating company", "按公司/各公司的/每家经营公司的"),
        ("strftime('%Y-%m', sale.sold_at)", "by month/for each month/per month", "按月/各月的/每个月的"),
        (
            "strftime('%w', sale.sold_at)",
            "by weekday/for each day of the week/per weekday",
            "按星期/星期各天的/每个星期几的",
        ),
        (
            "employee.position",
            "by position of the cashier/for each cashier position/per cashier position",
            "按收银员职位/各收银员职位的/每种收银员职位的",
        ),
        ("motorway.code", "by motorway/for each motorway/per motorway", "按高速公路/各高速公路的/每条高速公路的"),
    ),
    "shop": (
        ("shop.category", "by category/for each category/per category", "按类别/各类别的/每个类别的"),
        (
            "service_area.name",
            "by service area/for each service area/per service area",
            "按服务区/各服务区的/每个服务区的",
        ),
        ("company.name", "by company/for each company/per operating company", "按公司/各公司的/每家经营公司的"),
        ("motorway.code", "by motorway/for each motorway/per motorway", "按高速公路/各高速公路的/每条高速公路的"),
        (
            "strftime('%Y', shop.rented_since)",
            "by year of the lease/for each lease year/per lease year",
            "按起租年份/各起租年份的/每个起租年份的",
        ),
    ),
    "employee": (
        ("employee.position", "by position/for each position/per position", "按职位/各职位的/每个职位的"),
        (
            "service_area.name",
            "by service area/for each service area/per service area",
            "按服务区/各服务区的/每个服务区的",
        ),
        ("company.name", "by company/for each company/per operating company", "按公司/各公司的/每家经营公司的"),
        (
            "strftime('%Y', employee.hired_on)",
            "by year of hiring/for each hiring year/per year hired",
            "按入职年份/各入职年份的/每个入职年份的",
        ),
        ("employee.manager_id", "by manager/for each manager/per manager", "按主管/各主管的/每位主管的"),
    ),
    "service_area": (
        ("service_area.direction", "by direction/for each direction/per direction", "按方向/各方向的/每个方向的"),
        ("service_area.status", "by status/for each status/per status", "按状态/各状态的/每种状态的"),
        ("company.name", "by company/for each company/per operating company", "按公司/各公司的/每家经营公司的"),
        ("motorway.code", "by motorway/for each motorway/per motorway", "按高速公路/各高速公路的/每条高速公路的"),
    ),
    "traffic_count": (
        (
            "traffic_count.vehicle_type",
            "by vehicle type/for each type of vehicle/per vehicle type",
            "按车型/各车型的/每种车型的",
        ),
        (
            "service_area.name",
            "by service area/for each service area/per service area",
            "按服务区/各服务区的/每个服务区的",
        ),
        ("strftime('%Y-%m', traffic_count.counted_on)", "by month/for each month/per month", "按月/各月的/每个月的"),
        ("motorway.code", "by motorway/for each motorway/per motorway", "按高速公路/各高速公路的/每条高速公路的"),
        ("service_area.direction", "by direction/for each direction/per direction", "按方向/各方向的/每个方向的"),
    ),
    "sale_item": (
        (
            "product.category",
            "by product category/for each category of products/per product category",
            "按商品类别/各商品类别的/每类商品的",
        ),
        ("product.name", "by product/for each product/per product", "按商品/各商品的/每种商品的"),
        ("supplier.name", "by supplier/for each supplier/per supplier", "按供应商/各供应商的/每个供应商的"),
        ("strftime('%Y-%m', sale.sold_at)", "by month/for each month/per month", "按月/各月的/每个月的"),
        ("shop.name", "by shop/for each shop/per shop", "按商铺/各商铺的/每家商铺的"),
    ),
    "product": (
        (
            "product.category",
            "by product category/for each category of products/per product category",
            "按商品类别/各商品类别的/每类商品的",
        ),
        ("supplier.name", "by supplier/for each supplier/per supplier", "按供应商/各供应商的/每个供应商的"),
        (
            "supplier.city",
            "by city of the supplier/for each supplier city/per city of suppliers",
            "按供应商城市/各供应商城市的/每个供应商城市的",
        ),
    ),
    "member": (
        ("member.level", "by level/for each level/per level", "按等级/各等级的/每个等级的"),
        (
            "strftime('%Y', member.joined_on)",
            "by year of joining/for each joining year/per year joined",
            "按入会年份/各入会年份的/每个入会年份的",
        ),
    ),
}
"""By what it is grouped, for the measures of a table."""

_FRAMES: Final = {
    "en": ("What is the {m} {g}?", "Show me the {m} {g}.", "{m} {g}", "I would like to know the {m} {g}",
           "Give the {m}, {g}", "Please list {m} {g}", "Tell me {m} {g}"),
    "zh": ("{g}{m}是多少？", "请列出{g}{m}", "{g}{m}", "我想知道{g}{m}", "统计{g}{m}", "查询{g}{m}", "给出{g}{m}情况"),
}  # fmt: skip


_CATEGORIES = [
    _word("restaurants/places to eat", "餐厅/餐饮店", "restaurant"),
    _word("fuel stations/petrol stations", "加油站/加油点", "fuel"),
    _word("stores/convenience stores", "便利店/商店", "store"),
    _word("coffee shops/coffee bars", "咖啡店/咖啡馆", "coffee"),
    _word("hotels/motorway hotels", "酒店/旅馆", "hotel"),
]
_PAYMENTS = [
    _word("in cash/with cash", "现金/用现金", "cash"),
    _word("by card/with a bank card", "银行卡/刷卡", "card"),
    _word("with the app/through the app", "手机应用/通过应用", "app"),
    _word("with a fuel card/by fuel card", "加油卡/用加油卡", "fuel card"),
]
_LEVELS = [
    _word("bronze", "铜牌/铜卡", "bronze"),
    _word("silver", "银牌/银卡", "silver"),
    _word("gold", "金牌/金卡", "gold"),
]
_VEHICLES = [
    _word("cars/passenger cars", "小汽车/轿车", "car"),
    _word("lorries/trucks", "货车/卡车", "lorry"),
    _word("coaches/buses", "大客车/客车", "coach"),
]
_GOODS = [
    _word("meals/hot meals", "餐食/热食", "meal"),
    _word("drinks/beverages", "饮料/饮品", "drink"),
    _word("snacks/small snacks", "零食/小吃", "snack"),
    _word("travel goods/travel articles", "旅行用品/旅游用品", "travel"),
]
_POSITIONS = [
    _word("shift leaders/leaders of a shift", "班长/值班班长", "shift leader"),
    _word("clerks/sales clerks", "店员/营业员", "clerk"),
    _word("cooks/kitchen cooks", "厨师/厨工", "cook"),
    _word("technicians/technical staff", "技术员/技工", "technician"),
]
_STATUSES = [
    _word("open/in operation", "营业中/开放", "open"),
    _word("being built/under construction", "在建/建设中", "building"),
    _word("closed/shut down", "已关闭/停业", "closed"),
]
_DIRECTIONS = [
    _word("northbound/north", "北向/向北", "north"),
    _word("southbound/south", "南向/向南", "south"),
    _word("eastbound/east", "东向/向东", "east"),
    _word("westbound/west", "西向/向西", "west"),
]
_MONTHS = [
    _word("January 2025", "2025年1月", "2025-01"),
    _word("April 2025", "2025年4月", "2025-04"),
    _word("May 2025", "2025年5月", "2025-05"),
    _word("July 2025", "2025年7月", "2025-07"),
    _word("August 2025", "2025年8月", "2025-08"),
    _word("October 2025", "2025年10月", "2025-10"),
]
_TOPS = [_word("3/three", "3/三", "3"), _word("5/five", "5/五", "5"), _word("10/ten", "10/十", "10")]
_AREA_GROUPS = [
    _word("each service area/every service area", "每个服务区/各服务区", "service_area"),
    _word("each operating company/every company", "每家公司/各经营公司", "company"),
    _word("each motorway/every motorway", "每条高速公路/各条高速", "motorway"),
]

_INTENTS: Final = (
    _Intent(
        (_CATEGORIES,),
        "SELECT count(*) FROM shop WHERE category = '{0}'",
        ("How many {0} are there?", "What is the number of {0}?", "Count all {0}", "Total count of {0} in the network"),
        ("一共有多少家{0}？", "{0}的数量是多少？", "统计{0}的总数", "全网{0}有几家"),
    ),
    _Intent(
        (_CATEGORIES,),
        "SELECT avg(monthly_rent) FROM shop WHERE category = '{0}'",
        (
            "What is the average monthly rent of {0}?",
            "How much rent do {0} pay a month on average?",
            "Mean rent per month for {0}",
            "Average rent that is charged to {0} every month",
        ),
        ("{0}的平均月租金是多少？", "{0}平均每月付多少租金？", "计算{0}月租的均值", "平均来看{0}一个月的租金"),
    ),
    _Intent(
        (_CATEGORIES, _TOPS),
        "SELECT name, floor_square_metres FROM shop WHERE category = '{0}' ORDER BY floor_square_metres DESC, name "
        "LIMIT {1}",
        (
            "Which {1} {0} have the largest floor?",
            "List the {1} {0} with the most floor space",
            "Top {1} {0} by floor area",
            "The {1} biggest {0}, measured in square metres of floor",
        ),
        (
            "面积最大的{1}家{0}是哪些？",
            "列出营业面积前{1}的{0}",
            "按面积排名前{1}的{0}",
            "哪{1}家{0}的租用面积最大",
        ),
    ),
    _Intent(
        (_CATEGORIES, _MONTHS),
        "SELECT sum(sale.total) FROM sale JOIN shop ON shop.shop_id = sale.shop_id WHERE shop.category = '{0}' AND "
        "strftime('%Y-%m', sale.sold_at) = '{1}'",
        (
            "What did {0} take in {1}?",
            "Total sales of {0} in {1}",
            "Revenue of {0} during {1}",
            "How much money did {0} make in {1}?",
        ),
        ("{0}在{1}的销售总额是多少？", "{1}{0}一共卖了多少钱？", "求{0}{1}的营业收入", "{1}期间{0}的总收入"),
    ),
    _Intent(
        (_PAYMENTS,),
        "SELECT count(*) FROM sale WHERE payment_method = '{0}'",
        (
            "How many sales were paid {0}?",
            "Number of receipts settled {0}",
            "Count the purchases customers paid {0}",
            "How often was a sale paid {0}?",
        ),
        ("{0}支付的销售有多少笔？", "{0}付款的小票数量", "统计{0}结算的交易笔数", "有多少单是{0}支付的"),
    ),
    _Intent(
        (_PAYMENTS, _MONTHS),
        "SELECT sum(total) FROM sale WHERE payment_method = '{0}' AND strftime('%Y-%m', sold_at) = '{1}'",
        (
            "What is the total of sales paid {0} in {1}?",
            "Sum of all receipts paid {0} during {1}",
            "How much was paid {0} in {1}?",
            "Takings {0} for {1}",
        ),
        ("{1}{0}支付的销售总额是多少？", "{0}付款在{1}的金额合计", "{1}有多少钱是{0}支付的", "统计{1}{0}结算的总金额"),
    ),
    _Intent(
        (_LEVELS,),
        "SELECT count(*) FROM member WHERE level = '{0}'",
        (
            "How many {0} members are there?",
            "Number of members with {0} level",
            "Count the {0} members of the loyalty programme",
            "Size of the {0} tier of the loyalty programme",
        ),
        ("{0}会员有多少人？", "{0}等级的会员数量", "统计{0}会员总人数", "会员计划中{0}一档有几人"),
    ),
    _Intent(
        (_LEVELS, _MONTHS),
        "SELECT count(*) FROM member WHERE level = '{0}' AND strftime('%Y-%m', joined_on) = '{1}'",
        (
            "How many {0} members joined in {1}?",
            "Number of new {0} members in {1}",
            "{0} members who entered the programme during {1}",
            "Count of {0} sign-ups in {1}",
        ),
        ("{1}加入的{0}会员有多少？", "{1}新增{0}会员数", "统计{0}会员在{1}的入会人数", "{1}有几位{0}会员加入计划"),
    ),
    _Intent(
        (_LEVELS,),
        "SELECT avg(sale.total) FROM sale JOIN member ON member.member_id = sale.member_id WHERE member.level = '{0}'",
        (
            "What does a {0} member spend on average?",
            "Average receipt of {0} members",
            "Mean value of a purchase by a {0} member",
            "How much is a typical sale to {0} members?",
        ),
        ("{0}会员平均每单消费多少？", "{0}会员的平均小票金额", "{0}会员一次购买的均值", "计算{0}会员的平均消费额"),
    ),
    _Intent(
        (_VEHICLES,),
        "SELECT sum(vehicles) FROM traffic_count WHERE vehicle_type = '{0}'",
        (
            "How many {0} turned in altogether?",
            "Total number of {0} counted at service areas",
            "Sum of {0} over all traffic counts",
            "All {0} that stopped at a service area",
        ),
        ("一共有多少辆{0}驶入？", "服务区统计到的{0}总数", "所有车流记录中{0}的合计", "进入服务区的{0}累计多少辆"),
    ),
    _Intent(
        (_VEHICLES, _MONTHS),
        "SELECT sum(vehicles) FROM traffic_count WHERE vehicle_type = '{0}' AND strftime('%Y-%m', counted_on) = '{1}'",
        (
            "How many {0} were counted in {1}?",
            "Traffic of {0} during {1}",
            "Number of {0} that turned in in {1}",
            "{1}: the sum of {0}",
        ),
        ("{1}有多少辆{0}？", "{0}在{1}的车流量", "统计{1}驶入的{0}数量", "{1}{0}的总流量"),
    ),
    _Intent(
        (_VEHICLES, _TOPS),
        "SELECT a.name, sum(t.vehicles) AS vehicles FROM traffic_count t JOIN service_area a ON a.service_area_id = "
        "t.service_area_id WHERE t.vehicle_type = '{0}' GROUP BY a.name ORDER BY vehicles DESC, a.name LIMIT {1}",
        (
            "Which {1} service areas see the most {0}?",
            "Top {1} service areas by number of {0}",
            "The {1} places where most {0} stop",
            "Rank service areas by {0} and give the first {1}",
        ),
        (
            "{0}最多的{1}个服务区是哪些？",
            "按{0}数量排名前{1}的服务区",
            "哪{1}个服务区停的{0}最多",
            "列出{0}流量最大的{1}个服务区",
        ),
    ),
    _Intent(
        (_GOODS,),
        "SELECT avg(unit_price) FROM product WHERE category = '{0}'",
        (
            "What is the average price of {0}?",
            "How expensive are {0} on average?",
            "Mean unit price of products that are {0}",
            "Average cost of one of our {0}",
        ),
        ("{0}的平均单价是多少？", "{0}平均卖多少钱？", "计算{0}类商品的均价", "{0}商品的价格均值"),
    ),
    _Intent(
        (_GOODS, _TOPS),
        "SELECT name, unit_price FROM product WHERE category = '{0}' ORDER BY unit_price DESC, name LIMIT {1}",
        (
            "Which {1} {0} are the most expensive?",
            "List the {1} {0} with the highest price",
            "Top {1} {0} by unit price",
            "The {1} dearest {0}",
        ),
        ("最贵的{1}种{0}是什么？", "列出单价最高的{1}种{0}", "{0}中价格排名前{1}的商品", "按单价取前{1}的{0}"),
    ),
    _Intent(
        (_GOODS, _TOPS),
        "SELECT p.name, sum(i.quantity) AS sold FROM sale_item i JOIN product p ON p.product_id = i.product_id WHERE "
        "p.category = '{0}' GROUP BY p.name ORDER BY sold DESC, p.name LIMIT {1}",
        (
            "Which {1} {0} sell best?",
            "The {1} best-selling {0}",
            "Top {1} {0} by quantity sold",
            "{1} {0} of which the most pieces were sold",
        ),
        ("销量最高的{1}种{0}是哪些？", "卖得最好的{1}种{0}", "{0}按销售数量前{1}名", "哪{1}种{0}卖出的件数最多"),
    ),
    _Intent(
        (_POSITIONS,),
        "SELECT avg(salary) FROM employee WHERE position = '{0}'",
        (
            "What is the average salary of {0}?",
            "How much do {0} earn on average?",
            "Mean monthly pay of {0}",
            "Average wage paid to {0}",
        ),
        ("{0}的平均工资是多少？", "{0}平均每月挣多少？", "计算{0}的月薪均值", "支付给{0}的平均薪水"),
    ),
    _Intent(
        (_POSITIONS,),
        "SELECT count(*) FROM employee WHERE position = '{0}' AND left_on IS NULL",
        (
            "How many {0} are employed now?",
            "Number of {0} who have not left",
            "Count of current {0}",
            "How many people work as {0} at present?",
        ),
        ("目前在职的{0}有多少人？", "没有离职的{0}人数", "统计现有{0}数量", "现在有几名{0}在岗"),
    ),
    _Intent(
        (_POSITIONS, _AREA_GROUPS[:1]),
        "SELECT a.name, count(*) FROM employee e JOIN {1} a ON a.{1}_id = e.{1}_id WHERE e.position = '{0}' "
        "GROUP BY a.name",
        (
            "How many {0} work in {1}?",
            "Number of {0} for {1}",
            "Count {0} by service area",
            "{0} per service area",
        ),
        ("{1}有多少名{0}？", "{1}的{0}人数", "按服务区统计{0}数量", "{0}在服务区的分布人数"),
    ),
    _Intent(
        (_STATUSES,),
        "SELECT name FROM service_area WHERE status = '{0}' ORDER BY name",
        (
            "Which service areas are {0}?",
            "List all service areas that are {0}",
            "Names of the service areas {0}",
            "Show me every service area which is {0}",
        ),
        ("哪些服务区{0}？", "列出所有{0}的服务区", "{0}的服务区名称", "给我看{0}的服务区清单"),
    ),
    _Intent(
        (_DIRECTIONS,),
        "SELECT count(*) FROM service_area WHERE direction = '{0}'",
        (
            "How many {0} service areas are there?",
            "Number of service areas on the {0} side",
            "Count service areas whose direction is {0}",
            "Total of {0} stops",
        ),
        ("{0}的服务区有多少个？", "{0}一侧服务区的数量", "统计方向为{0}的服务区", "{0}停靠点总数"),
    ),
    _Intent(
        (_DIRECTIONS,),
        "SELECT sum(parking_spaces) FROM service_area WHERE direction = '{0}'",
        (
            "How many parking spaces do {0} service areas have?",
            "Total parking spaces on the {0} side",
            "Sum of the car parks of {0} service areas",
            "Room for how many parked cars is there {0}?",
        ),
        ("{0}服务区共有多少停车位？", "{0}一侧的停车位总数", "{0}服务区车位合计", "{0}能停多少辆车"),
    ),
    _Intent(
        (_AREA_GROUPS,),
        "SELECT g.name, sum(s.total) FROM sale s JOIN shop h ON h.shop_id = s.shop_id JOIN service_area a ON "
        "a.service_area_id = h.service_area_id JOIN {0} g ON g.{0}_id = a.{0}_id GROUP BY g.name",
        (
            "What is the revenue of {0}?",
            "Total sales for {0}",
            "How much did {0} take altogether?",
            "Income broken down by {0}",
        ),
        ("{0}的营业收入是多少？", "{0}的销售总额", "{0}一共收入多少钱", "按{0}拆分收入"),
    ),
    _Intent(
        (_AREA_GROUPS,),
        "SELECT g.name, avg(h.monthly_rent) FROM shop h JOIN service_area a ON a.service_area_id = h.service_area_id "
        "JOIN {0} g ON g.{0}_id = a.{0}_id GROUP BY g.name",
        (
            "What is the average shop rent in {0}?",
            "Mean monthly rent of shops for {0}",
            "How much do shops pay on average in {0}?",
            "Average rent by {0}",
        ),
        ("{0}的商铺平均租金是多少？", "{0}店铺月租的均值", "{0}的商铺平均付多少租金", "按{0}计算平均租金"),
    ),
    _Intent(
        (_AREA_GROUPS[1:],),
        "SELECT g.name, count(*) FROM service_area a JOIN {0} g ON g.{0}_id = a.{0}_id GROUP BY g.name",
        (
            "How many service areas does {0} have?",
            "Number of service areas for {0}",
            "Count the service areas of {0}",
            "Service areas per group, for {0}",
        ),
        ("{0}有多少个服务区？", "{0}的服务区数量", "统计{0}拥有的服务区", "{0}下辖几个服务区"),
    ),
    _Intent(
        (_MONTHS,),
        "SELECT date(sold_at) AS day, sum(total) FROM sale WHERE strftime('%Y-%m', sold_at) = '{0}' GROUP BY day",
        (
            "How did daily sales develop in {0}?",
            "Sales of each day of {0}",
            "Day by day revenue in {0}",
            "Trend of takings per day during {0}",
        ),
        ("{0}每天的销售额走势如何？", "{0}各日销售额", "{0}逐日的收入", "{0}期间每日营业额趋势"),
    ),
    _Intent(
        (_MONTHS, _TOPS),
        "SELECT s.name, count(*) AS sales FROM sale JOIN shop s ON s.shop_id = sale.shop_id WHERE "
        "strftime('%Y-%m', sold_at) = '{0}' GROUP BY s.name ORDER BY sales DESC, s.name LIMIT {1}",
        (
            "Which {1} shops had the most sales in {0}?",
            "Top {1} shops of {0} by number of receipts",
            "The {1} busiest shops during {0}",
            "Rank shops by receipts in {0}, first {1}",
        ),
        (
            "{0}销售笔数最多的{1}家店是哪些？",
            "{0}按小票数排名前{1}的店铺",
            "{0}最忙的{1}家店",
            "列出{0}交易最多的{1}家商铺",
        ),
    ),
)  # fmt: skip


def paraphrases(language: str) -> list[Paraphrase]:
    """Plans that differ in what they measure and by what they group, in `en` or `zh`; the same with every call."""
    return list(_measured(language))


def siblings(language: str) -> list[Paraphrase]:
    """The hard ones: plans that differ in one value, said by a word that may share nothing with the stored one."""
    return list(_of_intents(language))


def _of_intents(language: str) -> Iterator[Paraphrase]:
    for intent in _INTENTS:
        phrasings = intent.en if language == "en" else intent.zh
        for words in itertools.product(*intent.slots):
            sql = intent.sql.format(*(word.sql for word in words))
            chosen = random.Random(f"{SEED} {language} {sql}")
            stored, asked = chosen.sample(range(len(phrasings)), 2)
            said = [list(word.en if language == "en" else word.zh) for word in words]
            # Where a value can be said in two ways, the question says it in the other one half of the time.
            first = [ways[0] for ways in said]
            other = [chosen.choice(ways) for ways in said]
            yield Paraphrase(
                phrasings[stored].format(*first),
                sql,
                phrasings[asked].format(*other),
                is_held_out=_is_held_out(sql),
            )


def _measured(language: str) -> Iterator[Paraphrase]:
    for table, measure, *measure_ways in _MEASURES:
        for group, *group_ways in _GROUPS[table]:
            sql = f"SELECT {group}, {measure} FROM {table} GROUP BY {group}"
            chosen = random.Random(f"{SEED} {language} {sql}")
            place = 0 if language == "en" else 1
            frames = chosen.sample(_FRAMES[language], 2)
            measures = chosen.choices(measure_ways[place].split("/"), k=2)
            groups = chosen.choices(group_ways[place].split("/"), k=2)
            stored, asked = (frame.format(m=m, g=g) for frame, m, g in zip(frames, measures, groups, strict=True))
            yield Paraphrase(stored, sql, asked, is_held_out=_is_held_out(sql))


def _is_held_out(sql: str) -> bool:
    return hashlib.sha256(sql.encode()).digest()[0] % 2 == 1
