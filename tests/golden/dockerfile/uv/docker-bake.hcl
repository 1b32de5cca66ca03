# Written by `shipwheel init`; it needs no shipwheel. Lines between <own …> and </own> are yours: they are
# kept when the file is written again. `shipwheel init --check` tells when the rest no longer fits the project.
# sealed 5239fa9eab3ea28f
# docker buildx bake            builds the app image
# docker buildx bake shop-test    runs the suite
# docker buildx bake all        builds every stage that is an image
# From another folder, several services at once: docker buildx bake -f a/docker-bake.hcl -f b/docker-bake.hcl a b \
#   --set shop*.context=a --set …

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

# Both reach the build as secrets, and no image. A file that is not below this folder has to be allowed:
# docker buildx bake --allow fs.read=FILE

# PEM file of certificates to trust.
variable "CA_BUNDLE" {
  default = ""
}

# File of NAME=value lines with credentials of package indexes.
variable "INDEX_LOGIN" {
  default = ""
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
  secret = concat(
    equal(CA_BUNDLE, "") ? [] : ["id=ca,src=${CA_BUNDLE}"],
    equal(INDEX_LOGIN, "") ? [] : ["id=index,src=${INDEX_LOGIN}"],
  )
  tags       = ["${IMAGES}/shop-builder:${TAG}"]
  platforms  = equal(PLATFORMS, "") ? [] : split(",", PLATFORMS)
  cache-from = equal(CACHE, "") ? [] : ["type=registry,ref=${CACHE}:shop"]
  cache-to   = equal(CACHE, "") ? [] : ["type=registry,ref=${CACHE}:shop,mode=max"]
}

target "shop" {
  context    = CONTEXT
  dockerfile = "Dockerfile"
  target     = "app"
  secret = concat(
    equal(CA_BUNDLE, "") ? [] : ["id=ca,src=${CA_BUNDLE}"],
    equal(INDEX_LOGIN, "") ? [] : ["id=index,src=${INDEX_LOGIN}"],
  )
  tags       = ["${IMAGES}/shop-app:${TAG}"]
  platforms  = equal(PLATFORMS, "") ? [] : split(",", PLATFORMS)
  cache-from = equal(CACHE, "") ? [] : ["type=registry,ref=${CACHE}:shop"]
  cache-to   = equal(CACHE, "") ? [] : ["type=registry,ref=${CACHE}:shop,mode=max"]
}

target "shop-dev" {
  context    = CONTEXT
  dockerfile = "Dockerfile"
  target     = "dev"
  secret = concat(
    equal(CA_BUNDLE, "") ? [] : ["id=ca,src=${CA_BUNDLE}"],
    equal(INDEX_LOGIN, "") ? [] : ["id=index,src=${INDEX_LOGIN}"],
  )
  tags       = ["${IMAGES}/shop-dev:${TAG}"]
  platforms  = equal(PLATFORMS, "") ? [] : split(",", PLATFORMS)
  cache-from = equal(CACHE, "") ? [] : ["type=registry,ref=${CACHE}:shop"]
  cache-to   = equal(CACHE, "") ? [] : ["type=registry,ref=${CACHE}:shop,mode=max"]
}

target "shop-test" {
  context    = CONTEXT
  dockerfile = "Dockerfile"
  target     = "test"
  secret = concat(
    equal(CA_BUNDLE, "") ? [] : ["id=ca,src=${CA_BUNDLE}"],
    equal(INDEX_LOGIN, "") ? [] : ["id=index,src=${INDEX_LOGIN}"],
  )
  output     = ["type=cacheonly"]
}

# <own bake>
# </own>
