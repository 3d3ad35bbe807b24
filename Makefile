# A thin front to Meson.  `make` alone lists the targets.
.PHONY: help deps build demo test install clean

help:
	@echo "make demo      install what is missing, build, transcribe the bundled clip"
	@echo "make test      install what is missing, build, run every test (tools/run-tests.sh)"
	@echo "make build     the release program at build/wisp, runnable in place"
	@echo "make install   program, library, header, manual, models (PREFIX=/usr/local)"
	@echo "make clean     remove the build folders"

deps:
	@tools/install-deps.sh build

# A prefix given to any target is remembered.
build: deps
	@[ -f build/build.ninja ] || meson setup build
	@[ -z "$(PREFIX)" ] || meson configure build --prefix "$(PREFIX)"
	@ninja -C build wisp

demo: build
	@build/wisp demo

test:
	@tools/run-tests.sh

# The linker's cache finds the library; installing below DESTDIR leaves it alone.
install: build
	@meson install -C build
	@[ -n "$(DESTDIR)" ] || [ "$$(id -u)" != 0 ] || ldconfig

clean:
	rm -rf build build-*
