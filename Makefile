# A thin front to Meson.  `make` alone lists the targets.
.PHONY: help deps build demo test install clean

help:
	@echo "make demo      install what is missing, build, transcribe the bundled clip"
	@echo "make test      install what is missing, build, run every test"
	@echo "make build     the release program at build/wisp"
	@echo "make install   install program, library, header and man page (PREFIX=/usr/local)"
	@echo "make clean     remove the build folders"

deps:
	@tools/install-deps.sh

build/build.ninja:
	meson setup build --prefix $(or $(PREFIX),/usr/local)

build: deps build/build.ninja
	@ninja -C build

demo: build
	@build/wisp demo

test: deps
	@tools/run-tests.sh

install: build
	meson install -C build

clean:
	rm -rf build build-*
