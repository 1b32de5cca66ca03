import pytest
from fastapi.testclient import TestClient

from shop.app import create_app
from shop.settings import Settings

WHEEL = {"sku": "wheel", "price_cents": 1250, "stock": 3}


@pytest.fixture
def client() -> TestClient:
    return TestClient(create_app(Settings(database_url="sqlite://")))


def test_healthz_answers_when_the_database_does(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


def test_an_order_takes_from_the_stock(client: TestClient) -> None:
    client.post("/products", json=WHEEL)
    answer = client.post("/orders", json={"sku": "wheel", "quantity": 2})
    assert answer.status_code == 201
    assert client.get("/products").json() == [{**WHEEL, "stock": 1}]


def test_an_order_for_more_than_there_is_changes_nothing(client: TestClient) -> None:
    client.post("/products", json=WHEEL)
    assert client.post("/orders", json={"sku": "wheel", "quantity": 4}).status_code == 409
    assert client.get("/products").json() == [WHEEL]


def test_an_order_for_an_unknown_product_is_refused(client: TestClient) -> None:
    assert client.post("/orders", json={"sku": "anchor", "quantity": 1}).status_code == 404


def test_a_product_is_added_once(client: TestClient) -> None:
    client.post("/products", json=WHEEL)
    assert client.post("/products", json=WHEEL).status_code == 409
