"""What goes in and out as JSON."""

from pydantic import BaseModel, ConfigDict, Field


class ProductBody(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    sku: str = Field(min_length=1, max_length=40)
    price_cents: int = Field(ge=0)
    stock: int = Field(ge=0)


class OrderBody(BaseModel):
    sku: str
    quantity: int = Field(gt=0)


class OrderTaken(OrderBody):
    model_config = ConfigDict(from_attributes=True)

    id: int
