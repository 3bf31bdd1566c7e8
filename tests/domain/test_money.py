"""Money: exact, in one currency, with that currency's digits."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_kernel.money import CurrencyMismatch, InvalidMoney, Money

DIGITS = {"EUR": 2, "USD": 2, "JPY": 0, "ISK": 0, "KWD": 3, "BHD": 3, "CLF": 4, "UYW": 4}
minors = st.integers(0, 10**18 - 1)
currencies = st.sampled_from(sorted(DIGITS))


# ISO 4217 as of 2026; every other currency that has a smallest unit has hundredths.
ISO_4217 = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW "
    "CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR "
    "ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV "
    "MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD "
    "SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}


@pytest.mark.parametrize("digits", ISO_4217)
def test_every_currency_has_the_digits_that_iso_4217_gives_it(digits: int) -> None:
    for currency in ISO_4217[digits].split():
        assert Money.of("7", currency).minor == 7 * 10**digits, currency


@given(minors, currencies)
def test_an_amount_is_read_back_as_the_money_it_was_written_from(minor: int, currency: str) -> None:
    money = Money(minor, currency)

    assert Money.of(money.amount, currency) == money


@given(minors, currencies)
def test_an_amount_has_exactly_the_digits_of_its_currency_and_its_exact_value(minor: int, currency: str) -> None:
    amount = Money(minor, currency).amount

    whole, _, fraction = amount.partition(".")
    assert whole.isdigit()
    assert len(fraction) == DIGITS[currency]
    assert Decimal(amount) * 10 ** DIGITS[currency] == minor


@given(minors, minors, minors, currencies)
def test_adding_commutes_and_associates(a: int, b: int, c: int, currency: str) -> None:
    x, y, z = Money(a, currency), Money(b, currency), Money(c, currency)

    assert x + y == y + x
    assert (x + y) + z == x + (y + z)
    assert x + Money(0, currency) == x


@given(minors, st.integers(0, 100), currencies)
def test_multiplying_is_adding_again_and_again(minor: int, times: int, currency: str) -> None:
    assert Money(minor, currency) * times == sum([Money(minor, currency)] * times, start=Money(0, currency))


@given(minors, minors, st.integers(1, 10_000), currencies)
def test_nothing_that_is_done_with_money_makes_it_a_float(a: int, b: int, times: int, currency: str) -> None:
    money = Money(a, currency) + Money.of(Money(b, currency).amount, currency) * times

    assert type(money.minor) is int
    assert money.minor == a + b * times


@pytest.mark.parametrize(
    ("amount", "currency", "minor", "written"),
    [
        ("12.50", "EUR", 1250, "12.50"),
        ("12.5", "EUR", 1250, "12.50"),
        ("0.1", "EUR", 10, "0.10"),
        ("0", "EUR", 0, "0.00"),
        ("1e2", "EUR", 10_000, "100.00"),
        ("500", "JPY", 500, "500"),
        ("500.0", "JPY", 500, "500"),
        ("1.234", "KWD", 1234, "1.234"),
        ("1.2", "KWD", 1200, "1.200"),
    ],
)
def test_an_amount_counts_the_smallest_unit_of_its_currency(
    amount: str, currency: str, minor: int, written: str
) -> None:
    money = Money.of(amount, currency)

    assert (money.minor, money.amount) == (minor, written)


@pytest.mark.parametrize(
    ("amount", "currency", "sentence"),
    [
        ("12.505", "EUR", "amount 12.505 has more digits than EUR has"),
        ("0.5", "JPY", "amount 0.5 has more digits than JPY has"),
        ("1.2345", "KWD", "amount 1.2345 has more digits than KWD has"),
        ("NaN", "EUR", "amount NaN has more digits than EUR has"),
        ("Infinity", "EUR", "amount Infinity has more digits than EUR has"),
        ("twelve", "EUR", "amount must be a decimal number such as 12.50, not 'twelve'"),
        ("", "EUR", "amount must be a decimal number such as 12.50, not ''"),
        ("12,50", "EUR", "amount must be a decimal number such as 12.50, not '12,50'"),
        ("-0.01", "EUR", "amount must not be negative, but is -1"),
        ("1.00", "eur", "currency must be three capital letters such as EUR, not 'eur'"),
        ("1.00", "EURO", "currency must be three capital letters such as EUR, not 'EURO'"),
        ("1.00", "", "currency must be three capital letters such as EUR, not ''"),
    ],
)
def test_what_cannot_be_money_is_refused_with_a_sentence(amount: str, currency: str, sentence: str) -> None:
    with pytest.raises(InvalidMoney) as refused:
        Money.of(amount, currency)

    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    "amount", ["1E+40", "1E+99999", "1E+999999999", "9" * 40, "-1E+40"], ids=lambda amount: amount[:12]
)
def test_an_amount_beyond_all_sums_is_refused_before_its_digits_are_made(amount: str) -> None:
    """An exponent of a few characters stands for a number that takes minutes to write down."""
    with pytest.raises(InvalidMoney, match="amount"):
        Money.of(amount, "EUR")


def test_two_currencies_cannot_be_added() -> None:
    with pytest.raises(CurrencyMismatch, match="cannot add JPY to EUR") as refused:
        Money(1, "EUR") + Money(1, "JPY")

    assert (refused.value.left, refused.value.right) == ("EUR", "JPY")
