# Written by `shipwheel init`; it needs no shipwheel. Lines between <own …> and </own> are yours: they are
# kept when the file is written again. `shipwheel init --check` tells when the rest no longer fits the project.
# sealed f6def3a537849f24
# docker buildx bake            builds the app image
# docker buildx bake shop-test    runs the suite
# docker buildx bake all        builds every stage that is an image
# From the repository's root, several services at once: docker buildx bake -f a/docker-bake.hcl -f b/docker-bake.hcl

# Registry and folder of the images.
variable "IMAGES" {
  default = "localhost"
}

# Tag of the images.
variable "TAG" {
  default = "latest"
}

# As linux/amd64,linux/arm64; empty: the builder's own.
variable "PLATFORMS" {
  default = ""
}

# A registry reference for caches; empty: none.
variable "CACHE" {
  default = ""
}

# The build context, seen from here.
variable "CONTEXT" {
  default = "."
}

# PEM file of certificates to trust.
variable "CA_BUNDLE" {
  default = "/dev/null"
}

# File of NAME=value lines with credentials of package indexes.
variable "INDEX_LOGIN" {
  default = "/dev/null"
}

group "default" {
  targets = ["shop"]
}

group "all" {
  targets = ["shop-builder", "shop", "shop-dev"]
}

target "shop-builder" {
  context    = CONTEXT
  dockerfile = "Dockerfile"
  target     = "builder"
  secret     = ["id=ca,src=${CA_BUNDLE}", "id=index,src=${INDEX_LOGIN}"]
  tags       = ["${IMAGES}/shop-builder:${TAG}"]
  platforms  = equal(PLATFORMS, "") ? [] : split(",", PLATFORMS)
  cache-from = equal(CACHE, "") ? [] : ["type=registry,ref=${CACHE}:shop"]
  cache-to   = equal(CACHE, "") ? [] : ["type=registry,ref=${CACHE}:shop,mode=max"]
}

target "shop" {
  context    = CONTEXT
  dockerfile = "Dockerfile"
  target     = "app"
  secret     = ["id=ca,src=${CA_BUNDLE}", "id=index,src=${INDEX_LOGIN}"]
  tags       = ["${IMAGES}/shop-app:${TAG}"]
  platforms  = equal(PLATFORMS, "") ? [] : split(",", PLATFORMS)
  cache-from = equal(CACHE, "") ? [] : ["type=registry,ref=${CACHE}:shop"]
  cache-to   = equal(CACHE, "") ? [] : ["type=registry,ref=${CACHE}:shop,mode=max"]
}

target "shop-dev" {
  context    = CONTEXT
  dockerfile = "Dockerfile"
  target     = "dev"
  secret     = ["id=ca,src=${CA_BUNDLE}", "id=index,src=${INDEX_LOGIN}"]
  tags       = ["${IMAGES}/shop-dev:${TAG}"]
  platforms  = equal(PLATFORMS, "") ? [] : split(",", PLATFORMS)
  cache-from = equal(CACHE, "") ? [] : ["type=registry,ref=${CACHE}:shop"]
  cache-to   = equal(CACHE, "") ? [] : ["type=registry,ref=${CACHE}:shop,mode=max"]
}

target "shop-test" {
  context    = CONTEXT
  dockerfile = "Dockerfile"
  target     = "test"
  secret     = ["id=ca,src=${CA_BUNDLE}", "id=index,src=${INDEX_LOGIN}"]
  output     = ["type=cacheonly"]
}

# <own bake>
# </own>
