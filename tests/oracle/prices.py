"""What requests cost by genai-prices' own calculator: the oracle of `tests/it/prices.rs`.

Usage: python prices.py > requests.jsonl        (genai-prices must be installed)

Each line is a request: vendor and model of the price list, a name of the model, the time in milliseconds, fast mode,
batch, and tokens (input, output, cache writes for 5 minutes and 1 hour, cache reads) and web searches; then its price in
picodollars. There are all models of Anthropic under several names, and models of other vendors; each class of tokens
alone and together; prompts around each limit of a tier; times around each date and hour at which a price changes.

Requests for which src/prices/overlay.json differs on purpose are left out: see `differs`.
"""

import json
import random
import sys
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

from genai_prices import Usage, calc_price, types
from genai_prices.data import providers

# The vendors whose models are in Fusebox's table, and which of their models are tested: every nth.
VENDORS = {
    "anthropic": 1, "openai": 2, "google": 1, "x-ai": 1, "deepseek": 1, "mistral": 2, "moonshotai": 1, "zai": 2,
    "minimax": 1, "cohere": 1, "openrouter": 8,
}
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
CLASSES = ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read")


def day(year, month, of_month):
    return datetime(year, month, of_month, tzinfo=UTC)


def differs(model, at, prompt, web_searches, fast, batch):
    """Whether Fusebox has another price on purpose."""
    return (
        # Cache reads of Sonnet 5.5 became cheaper; the data has only the new rate.
        (model.id == "claude-sonnet-5-5" and at < day(2026, 10, 7))
        # The beta with long prompts ended.
        or (model.id == "claude-sonnet-4-5" and prompt > 200_000 and at >= day(2026, 4, 30))
        # Fast mode of Opus 4.8 ends.
        or (model.id == "claude-opus-4-8" and fast and at >= day(2026, 11, 30))
        # The history of batch prices is not in the data; Fusebox halves them at any time.
        or (batch and at < day(2026, 10, 14))
        # Anthropic's web searches have one price, which some old models lack in the data.
        or (web_searches and current(model, at).web_searches_kcount is None and model.id.startswith("claude"))
    )


def current(model, at):
    return model.get_prices(at)


def is_whole(prices):
    """Whether all rates are whole picodollars per token, which is as fine as Fusebox reckons."""
    values = prices.__dict__.values()
    tiered = [value for value in values if isinstance(value, types.TieredPrices)]
    flat = [value for value in values if isinstance(value, Decimal)]
    flat += [rate for value in tiered for rate in (value.base, *(tier.price for tier in value.tiers))]
    return all(rate * 10**6 % 1 == 0 for rate in flat)


def all_prices(model):
    prices = model.prices if isinstance(model.prices, list) else [types.ConditionalPrice(prices=model.prices)]
    return [*prices, *(model.price_variants or [])]


def times(model):
    """Now, and a second around each time at which a price changes."""
    edges = {NOW, day(2025, 12, 1)}
    for price in all_prices(model):
        rule = price.constraint
        if isinstance(rule, types.StartDateConstraint):
            edges.add(datetime.combine(rule.start_date, time(), UTC))
        elif rule is not None:
            edges |= {datetime.combine(NOW.date(), each) for each in (rule.start_time, rule.end_time)}
    return sorted({edge + timedelta(seconds=shift) for edge in edges for shift in (-1, 0, 1)})


def tiers(model):
    found = set()
    for price in all_prices(model):
        values = price.prices.__dict__.values()
        found |= {tier.start for value in values if isinstance(value, types.TieredPrices) for tier in value.tiers}
    return sorted(found)


def usages(model, chance):
    """Tokens of each class, and web searches."""
    for position in range(len(CLASSES)):
        yield [1_000 if each == position else 0 for each in range(len(CLASSES))] + [0]
    yield [0, 0, 0, 0, 0, 3]
    yield [chance.randrange(90_000) for _ in CLASSES] + [1]
    for start in tiers(model):
        for prompt in (start - 1, start, start + 1):
            written_5m, written_1h, read = (chance.randrange(prompt // 4) for _ in range(3))
            yield [prompt - written_5m - written_1h - read, 777, written_5m, written_1h, read, 0]
        yield [0, 5, 0, 0, start + 1, 0]


def names(model, vendor):
    """Names that mean this model, according to its rules."""
    found = [model.id]
    clauses = [model.match]
    while clauses:
        clause = clauses.pop(0)
        clauses += getattr(clause, "or_", [])
        found += [getattr(clause, kind) for kind in ("equals", "starts_with", "contains") if hasattr(clause, kind)]
    meant = [name for name in dict.fromkeys(found) if vendor.find_model(name) is model]
    return meant[: 4 if vendor.id == "anthropic" else 1]


def price(vendor, name, at, usage, context):
    fresh, output, written_5m, written_1h, read, web_searches = usage
    calculated = calc_price(
        Usage(
            input_tokens=fresh + written_5m + written_1h + read,
            output_tokens=output,
            cache_write_tokens=written_5m + written_1h,
            cache_write_5m_tokens=written_5m,
            cache_write_1h_tokens=written_1h,
            cache_read_tokens=read,
            web_searches=web_searches,
        ),
        model_ref=name,
        provider_id=vendor.id,
        genai_request_timestamp=at,
        price_context=context,
    )
    return int((calculated.total_price * 10**12).to_integral_value())


def main():
    chance = random.Random(7)
    for vendor in providers:
        step = VENDORS.get(vendor.id)
        for model in vendor.models[::step] if step else []:
            base = [each.prices for each in all_prices(model)][0]
            if base.input_mtok is None or base.output_mtok is None or not is_whole(base):
                continue
            sold = {(False, False): None}
            for variant in model.price_variants or [] if vendor.id == "anthropic" else []:
                if variant.when == {"speed": "fast"}:
                    sold[True, False] = variant.when
                if variant.when == {"processing": "batch"}:
                    sold[False, True] = variant.when
            for name in names(model, vendor):
                for at in times(model):
                    for usage in usages(model, chance):
                        for (fast, batch), context in sold.items():
                            prompt = usage[0] + sum(usage[2:5])
                            if differs(model, at, prompt, usage[5], fast, batch):
                                continue
                            request = {
                                "vendor": vendor.id, "model": model.id, "name": name,
                                "at": int(at.timestamp() * 1000), "fast": fast, "batch": batch, "usage": usage,
                                "picodollars": price(vendor, name, at, usage, context),
                            }
                            print(json.dumps(request))


if __name__ == "__main__":
    sys.exit(main())
