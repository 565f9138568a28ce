//! Reads processes, users and sysctl values, from a made-up tree and from the running machine.
#![cfg(target_os = "linux")]

use std::collections::HashSet;
use std::fs;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use portwise_sys::Errno;
use portwise_sys::proc::{Holder, Ids, Proc, Target};

const STATUS: &str = "Name:\tmy\\nserver\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t42\nPid:\t42\n\
    PPid:\t1\nTracerPid:\t0\nUid:\t1000\t1001\t1002\t1003\nGid:\t100\t100\t100\t100\n\
    Groups:\t27 100 \nNSpid:\t42\t7\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000400\n\
    CapEff:\t0000000000000400\nCapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\n\
    NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn made_up() -> (tempfile::TempDir, Proc) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    write(root, "proc/42/status", STATUS);
    write(root, "proc/42/cmdline", "/usr/bin/my server\0-p\0\0");
    write(root, "proc/42/comm", "my\nserver\n");
    write(
        root,
        "proc/42/stat",
        "42 (a) b (c) S 1 42 40 34816 42 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3\n",
    );
    write(root, "proc/42/cgroup", "4:net_cls,net_prio:/a\n0::/system.slice/my.service\n");
    write(root, "proc/uptime", "20000.50 1.00\n");
    write(root, "proc/2/cmdline", "");
    write(root, "proc/sys/net/ipv4/ip_unprivileged_port_start", "1024\n");
    write(root, "proc/sys/net/ipv4/conf/eth0.1/rp_filter", "2\n");
    write(root, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:34::/:/bin/false\n");
    write(root, "etc/group", "root:x:0:\nssl:x:99:web,root\n");
    fs::create_dir_all(root.join("proc/42/fd")).unwrap();
    symlink("/opt/server (deleted)", root.join("proc/42/exe")).unwrap();
    symlink("/srv", root.join("proc/42/cwd")).unwrap();
    symlink("socket:[777]", root.join("proc/42/fd/3")).unwrap();
    symlink("socket:[778]", root.join("proc/42/fd/4")).unwrap();
    symlink("/dev/null", root.join("proc/42/fd/5")).unwrap();
    let proc = Proc::new(root);
    (dir, proc)
}

#[test]
fn status_is_read() {
    let (_dir, proc) = made_up();
    let status = proc.status(42).unwrap();
    assert_eq!(status.name, "my\\nserver");
    assert_eq!((status.state, status.tgid, status.ppid), ('S', 42, 1));
    let uids = Ids { real: 1000, effective: 1001, saved: 1002, filesystem: 1003 };
    assert_eq!(status.uids, uids);
    assert_eq!(status.groups, [27, 100]);
    assert_eq!(status.capabilities.effective, 1 << 10);
    assert_eq!(status.capabilities.bounding, 0x1ff_ffff_ffff);
    assert_eq!((status.no_new_privs, status.seccomp), (Some(true), Some(2)));
    assert_eq!(status.ns_pids, [42, 7]);
}

#[test]
fn a_missing_process_is_an_error_with_its_path() {
    let (_dir, proc) = made_up();
    let error = proc.status(43).unwrap_err();
    assert_eq!(error.errno, Errno::ENOENT);
    assert!(error.detail.ends_with("proc/43/status"), "{error}");
}

#[test]
fn program_and_place_are_read() {
    let (_dir, proc) = made_up();
    assert_eq!(proc.pids().unwrap().len(), 2);
    assert_eq!(proc.cmdline(42).unwrap(), ["/usr/bin/my server", "-p", ""]);
    assert!(proc.cmdline(2).unwrap().is_empty());
    assert_eq!(proc.comm(42).unwrap(), "my\nserver");
    let exe = Target { path: PathBuf::from("/opt/server"), deleted: true };
    assert_eq!(proc.exe(42).unwrap(), exe);
    assert_eq!(proc.cwd(42).unwrap(), Target { path: PathBuf::from("/srv"), deleted: false });
    let cgroups = proc.cgroups(42).unwrap();
    assert_eq!(cgroups[1].path, "/system.slice/my.service");
    assert_eq!(cgroups[0].controllers, "net_cls,net_prio");
}

#[test]
fn the_name_in_stat_may_contain_anything() {
    let (_dir, proc) = made_up();
    let stat = proc.stat(42).unwrap();
    let (named, name) = proc.process(42).unwrap().named_stat().unwrap();
    assert_eq!((named, name.to_str()), (stat, Some("a) b (c")));
    assert_eq!((stat.process_group, stat.session, stat.start_ticks), (42, 40, 987_654));
    // At 100 ticks a second, which every Linux gives to programs.
    assert_eq!(proc.age(&stat).unwrap().as_secs(), 10_123);
}

#[test]
fn a_file_really_called_deleted_is_not_deleted() {
    let (dir, proc) = made_up();
    write(dir.path(), "bin/x (deleted)", "");
    let path = dir.path().join("bin/x (deleted)");
    symlink(&path, dir.path().join("proc/2/exe")).unwrap();
    assert_eq!(proc.exe(2).unwrap(), Target { path, deleted: false });
}

#[test]
fn sysctl_names_are_paths() {
    let (_dir, proc) = made_up();
    assert_eq!(proc.sysctl("net.ipv4.ip_unprivileged_port_start").unwrap(), "1024");
    assert_eq!(proc.sysctl("net.ipv4.conf.eth0/1.rp_filter").unwrap(), "2");
    assert_eq!(proc.sysctl("net.none").unwrap_err().errno, Errno::ENOENT);
}

#[test]
fn users_and_groups_are_read() {
    let (_dir, proc) = made_up();
    assert_eq!(proc.user_name(33).unwrap().as_deref(), Some("web"));
    assert_eq!(proc.user_name(34).unwrap(), None);
    assert_eq!(proc.groups().unwrap()[1].members, ["web", "root"]);
}

#[test]
fn holders_of_wanted_sockets_are_found() {
    let (_dir, proc) = made_up();
    let holders = proc.holders(&HashSet::from([777, 1])).unwrap();
    assert_eq!(holders.found, [Holder { inode: 777, pid: 42, start: 987654, fd: 3 }]);
    assert!(holders.is_complete());
}

#[test]
fn this_process_finds_itself() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proc = Proc::default();
    let pid = std::process::id();
    let fd = format!("/proc/self/fd/{}", listener.as_raw_fd());
    let inode = fs::metadata(fd).unwrap().ino();

    let holders = proc.holders(&HashSet::from([inode])).unwrap();

    let fd = listener.as_raw_fd() as u32;
    let start = proc.stat(pid).unwrap().start_ticks;
    assert_eq!(holders.found, [Holder { inode, pid, start, fd }]);
    assert_eq!(proc.first_holders(&HashSet::from([inode])).unwrap().found, holders.found);
    assert_eq!(proc.exe(pid).unwrap().path, std::env::current_exe().unwrap());
    assert_eq!(proc.cwd(pid).unwrap().path, std::env::current_dir().unwrap());
    assert_eq!(proc.thread_status().unwrap().tgid, pid);
    assert!(proc.age(&proc.stat(pid).unwrap()).unwrap().as_secs() < 600);
    assert!(proc.status(pid).unwrap().no_new_privs.is_some());
    assert!(proc.security_label(pid).is_ok());
    assert!(!proc.sysctl("kernel.osrelease").unwrap().contains('\n'));
}
