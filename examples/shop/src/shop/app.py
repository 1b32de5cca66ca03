"""The routes."""

from collections.abc import Iterator
from typing import Annotated

import httpx
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException
from redis import Redis
from sqlalchemy import text, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from shop.catalogue import Catalogue
from shop.database import Order, Product, connect
from shop.schemas import OrderBody, OrderTaken, ProductBody
from shop.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """Return the application for these settings."""
    app = FastAPI(title="shop")
    engine = connect(settings.database_url)
    catalogue = Catalogue(Redis.from_url(settings.redis_url) if settings.redis_url else None)

    def open_session() -> Iterator[Session]:
        with Session(engine) as session:
            yield session

    OpenSession = Annotated[Session, Depends(open_session)]

    @app.get("/healthz")
    def healthz(session: OpenSession) -> dict[str, str]:
        try:
            session.execute(text("SELECT 1"))
        except OperationalError as error:
            raise HTTPException(503, "the database does not answer") from error
        return {"status": "ok"}

    @app.get("/products")
    def list_products(session: OpenSession) -> list[ProductBody]:
        return catalogue.read(session)

    @app.post("/products", status_code=201)
    def add_product(product: ProductBody, session: OpenSession) -> ProductBody:
        session.add(Product(**product.model_dump()))
        try:
            session.commit()
        except IntegrityError as error:
            raise HTTPException(409, f"{product.sku} is there already") from error
        catalogue.forget()
        return product

    @app.post("/orders", status_code=201)
    def take_order(body: OrderBody, session: OpenSession, tasks: BackgroundTasks) -> OrderTaken:
        if session.get(Product, body.sku) is None:
            raise HTTPException(404, f"there is no {body.sku}")
        # One statement: two orders at once cannot both take the last piece.
        taken = session.execute(
            update(Product)
            .where(Product.sku == body.sku, Product.stock >= body.quantity)
            .values(stock=Product.stock - body.quantity)
        )
        if taken.rowcount == 0:
            raise HTTPException(409, f"too few of {body.sku}")
        order = Order(**body.model_dump())
        session.add(order)
        session.commit()
        catalogue.forget()
        answer = OrderTaken.model_validate(order)
        if settings.webhook_url:
            tasks.add_task(httpx.post, settings.webhook_url, json=answer.model_dump(), timeout=5)
        return answer

    return app
