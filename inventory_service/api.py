"""The catalogue over HTTP: its routes, its models in camelCase, and the answers to the service's own errors."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Path, Query, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationInfo, field_validator

from http_api.access.guard import needs
from http_api.body_limit import JsonBodyRoute
from http_api.cursor import decode_cursor, encode_cursor
from http_api.errors import Answer, ErrorTable
from http_api.health import HealthChecks
from http_api.http_application import HttpPart
from http_api.request_line import decoded_name
from http_api.schemas import MoneyView, ProductName, documented
from inventory_service.application import FindProducts, ProductNotFound, PutProduct, SetPrice
from inventory_service.domain import MAX_ON_HAND, MAX_PRICE_MINOR, OnHandBelowReserved, Product
from shared_kernel.caller import Scope
from shared_kernel.money import InvalidMoney, Money
from shared_kernel.product import ProductId, is_printable_text

TITLE = "Inventory service"
ERRORS: ErrorTable = {
    ProductNotFound: Answer(404, "Not found", "productId"),
    OnHandBelowReserved: Answer(409, "Conflict", "onHand"),
}

_CURRENCY = re.compile(r"[A-Z]{3}")
_AMOUNT = re.compile(r"-?[0-9]+(\.[0-9]+)?")

ProductIdPath = Annotated[
    ProductName, BeforeValidator(decoded_name), Path(description="The product, by the name that the catalogue gives it")
]


def _place(cursor: bytes) -> ProductId:
    """The place where a page ended. Raises ValueError for bytes that are no product id."""
    name = cursor.decode()
    if not is_printable_text(name):
        raise ValueError(name)
    return ProductId(name)


def _currency(text: str) -> str:
    if not _CURRENCY.fullmatch(text):
        raise ValueError("must be three capital letters such as EUR")
    return text


class PriceInput(BaseModel):
    """The price of one piece."""

    # The currency comes first, because the validation of the amount needs it.
    currency: Annotated[str, AfterValidator(_currency)] = Field(
        examples=["EUR"], json_schema_extra={"pattern": "^[A-Z]{3}$"}
    )
    amount: str = Field(
        max_length=32,
        examples=["12.50"],
        description="More than 0, and at most twelve digits in the smallest unit: 9999999999.99 EUR",
    )

    @field_validator("amount")
    @classmethod
    def _is_a_price(cls, amount: str, others: ValidationInfo) -> str:
        if not _AMOUNT.fullmatch(amount):
            raise ValueError("must be a decimal number such as 12.50")
        if amount.startswith("-"):
            raise ValueError("must be more than 0")
        currency = others.data.get("currency")
        if currency is None:  # the currency is invalid and has an error of its own
            return amount
        try:
            price = Money.of(amount, currency)
        except InvalidMoney as error:
            raise ValueError(str(error).removeprefix("amount ").removeprefix(f"{amount} ")) from None
        if price.minor == 0:
            raise ValueError("must be more than 0")
        if price.minor > MAX_PRICE_MINOR:
            raise ValueError(f"must be at most {Money(MAX_PRICE_MINOR, currency).amount}")
        return amount


class ProductInput(BaseModel):
    """The values to store for a product. Fields that are not named here are ignored."""

    price: PriceInput
    onHand: int = Field(ge=0, le=MAX_ON_HAND, strict=True, examples=[100])  # noqa: N815  the names on the wire


class ProductView(BaseModel):
    """A product as it was last committed. onHand = available + reserved."""

    productId: str  # noqa: N815
    price: MoneyView
    onHand: int  # noqa: N815
    reserved: int
    available: int


class ProductList(BaseModel):
    """A page of products. Pass `nextCursor` as `cursor` for the next page; it is null on the last."""

    products: list[ProductView]
    nextCursor: str | None  # noqa: N815


@dataclass(frozen=True, slots=True)
class InventoryUseCases:
    """The use cases that the HTTP API calls."""

    put: PutProduct
    set_price: SetPrice
    find: FindProducts


def inventory_http(checks: HealthChecks, use_cases: InventoryUseCases | None) -> HttpPart:
    """The service's part of an application. Without use cases it is only the health, for a process without the API."""
    if use_cases is None:
        return HttpPart(TITLE, checks)
    return HttpPart(TITLE, checks, lambda app: add_product_routes(app, use_cases), ERRORS)


_ADDED: dict[int | str, dict[str, Any]] = {201: {"model": ProductView, "description": "It is new"}}


def add_product_routes(app: FastAPI, use_cases: InventoryUseCases) -> None:
    """Serve the catalogue."""
    routes = APIRouter(tags=["products"], route_class=JsonBodyRoute)

    @routes.put(
        "/products/{productId}",
        summary="Add a product, or set its price and its stock",
        dependencies=[needs(Scope.CATALOGUE_WRITE)],
        responses=_ADDED | documented(400, 401, 403, 409, 413, 415, 429, 503),
    )
    async def put_product(productId: ProductIdPath, product: ProductInput, response: Response) -> ProductView:  # noqa: N803
        price = Money.of(product.price.amount, product.price.currency)
        stored, is_new = await use_cases.put(ProductId.of(productId), price=price, on_hand=product.onHand)
        if is_new:
            response.status_code = 201
        return product_view(stored)

    @routes.put(
        "/products/{productId}/price",
        summary="Set a product's price, and leave its stock as it is",
        description="PUT of the product itself sets its stock, too: what is sold between reading and writing it would "
        "be on hand again. This does not touch the stock. Orders keep the prices that they were reserved at.",
        dependencies=[needs(Scope.CATALOGUE_WRITE)],
        responses=documented(400, 401, 403, 404, 413, 415, 429, 503),
    )
    async def put_price(productId: ProductIdPath, price: PriceInput) -> ProductView:  # noqa: N803
        money = Money.of(price.amount, price.currency)
        return product_view(await use_cases.set_price(ProductId.of(productId), money))

    @routes.get(
        "/products/{productId}",
        summary="Read a product and its stock",
        dependencies=[needs()],
        responses=documented(400, 401, 404, 429, 503),
    )
    async def read_product(productId: ProductIdPath) -> ProductView:  # noqa: N803
        return product_view(await use_cases.find.one(ProductId(productId)))

    @routes.get(
        "/products",
        summary="List the products by their ids",
        dependencies=[needs()],
        responses=documented(400, 401, 429, 503),
    )
    async def list_products(
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: Annotated[str | None, Query(max_length=512)] = None,
    ) -> ProductList:
        after = decode_cursor(cursor, _place) if cursor is not None else None
        page = await use_cases.find.page(after=after, limit=limit)
        return ProductList(
            products=[product_view(product) for product in page.products],
            nextCursor=encode_cursor(page.next_after.value.encode()) if page.next_after else None,
        )

    app.include_router(routes)


def product_view(product: Product) -> ProductView:
    """The view of a product."""
    return ProductView(
        productId=product.id.value,
        price=MoneyView(amount=product.price.amount, currency=product.price.currency),
        onHand=product.on_hand,
        reserved=product.reserved,
        available=product.available,
    )
