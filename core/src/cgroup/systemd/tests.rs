use super::{Address, Manager};
use crate::cgroup::systemd::address::Name;
use std::path::Path;

#[test]
fn scope_is_a_unit_of_the_container_in_the_users_slice() {
    let address = Address { name: Name::Path("/x".into()), is_bus: true };
    let manager = Manager { address, group: "/user.slice/me".into() };
    let scope = manager.scope(Path::new("/cg/user.slice/me"), "libctr-1f");
    assert_eq!(scope.dir, Path::new("/cg/user.slice/me/app.slice/libctr-1f.scope"));
    assert_eq!(scope.container(), scope.dir.join("container"));
}
