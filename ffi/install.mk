# What the C interface installs, and how its header is made. Variables:
#   PREFIX, LIBDIR, INCLUDEDIR, DESTDIR   as usual
#   LIBRARY   directory with libctr.so and libctr.a as cargo built them
#   CBINDGEN  cbindgen 0.29

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
LIBRARY ?= target/release
CBINDGEN ?= cbindgen
# The number in the SONAME, see ffi/build.rs.
ABI := 0
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
HEADER := $(CBINDGEN) --quiet --config ffi/cbindgen.toml --crate libctr-ffi --output include/ctr.h

.PHONY: header header-check install-c

header:
	$(HEADER)

header-check:
	$(HEADER) --verify

# Cargo's archive shows every symbol of Rust's standard library, so that two
# Rust libraries cannot be linked into one program. Here all but ctr_* are
# local. Groups go, or the other library's twin of a local symbol would be
# dropped; bitcode goes, because linked bitcode cannot be read; what nothing
# refers to goes, or a weak symbol of a removed section would be wanted.
$(LIBRARY)/local/libctr.a: $(LIBRARY)/libctr.a
	mkdir -p $(@D)
	ld -r --gc-sections --force-group-allocation -o $(@D)/ctr.o $< \
	    $$(sed -n 's/.*\b\(ctr_[a-z_]*\)(.*/-u \1/p' include/ctr.h)
	objcopy --wildcard --keep-global-symbol='ctr_*' --strip-unneeded \
	    --remove-section=.llvmbc --remove-section=.llvmcmd $(@D)/ctr.o
	rm -f $@
	ar rcs $@ $(@D)/ctr.o

install-c: $(LIBRARY)/local/libctr.a
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)
	install -m 755 $(LIBRARY)/libctr.so $(DESTDIR)$(LIBDIR)/libctr.so.$(ABI)
	ln -sf libctr.so.$(ABI) $(DESTDIR)$(LIBDIR)/libctr.so
	install -m 644 $(LIBRARY)/local/libctr.a $(DESTDIR)$(LIBDIR)/libctr.a
	install -m 644 include/ctr.h $(DESTDIR)$(INCLUDEDIR)/ctr.h
	sed -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@VERSION@|$(VERSION)|' \
	    ffi/libctr.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/libctr.pc
