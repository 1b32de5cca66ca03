"""The catalogue as JSON, kept in Redis for a minute where there is one."""

from pydantic import TypeAdapter
from redis import Redis
from sqlalchemy import select
from sqlalchemy.orm import Session

from shop.database import Product
from shop.schemas import ProductBody

_KEY = "shop:catalogue"
_SECONDS = 60
_PRODUCTS = TypeAdapter(list[ProductBody])


class Catalogue:
    """Reads products from the database, or from the cache while that is fresh."""

    def __init__(self, cache: Redis | None) -> None:
        self._cache = cache

    def read(self, session: Session) -> list[ProductBody]:
        if self._cache is not None and (kept := self._cache.get(_KEY)) is not None:
            return _PRODUCTS.validate_json(kept)
        rows = session.scalars(select(Product).order_by(Product.sku))
        products = [ProductBody.model_validate(row) for row in rows]
        if self._cache is not None:
            self._cache.set(_KEY, _PRODUCTS.dump_json(products), ex=_SECONDS)
        return products

    def forget(self) -> None:
        if self._cache is not None:
            self._cache.delete(_KEY)
