//! A program that was not started yet, as execve(2) will find it: the file that is meant, the
//! interpreters it names, and what gives it rights or keeps them from it.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use portwise_model::{Executable, Format, Program};
use portwise_sys::{
    Errno,
    elf::{self, Elf, Loader},
    path::{self, Place},
    proc::Proc,
};

use crate::Trouble;

mod env;
mod file;
mod libraries;

/// Where programs are looked for: in whose root, from which directory, along which `PATH`.
pub(super) struct Finder {
    proc: Proc,
    place: Place,
    path: OsString,
}

/// What `PATH` is where nothing sets it.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How many programs may start one another before the search is given up.
const CHAIN: usize = 4;

impl Finder {
    /// As this process finds programs.
    pub(super) fn here() -> Result<Finder, Trouble> {
        let place = Place::here().map_err(|e| Trouble::new(format!("where am I: {e}")))?;
        let path = std::env::var_os("PATH").unwrap_or_else(|| USUAL_PATH.into());
        Ok(Finder { proc: Proc::default(), place, path })
    }

    /// As another process finds them. What may not be seen of it is taken to be the usual.
    pub(super) fn of(pid: u32) -> Finder {
        let proc = Proc::default();
        let root: PathBuf = format!("/proc/{pid}/root").into();
        // A root that is the same needs no detour, which only root may take.
        let is_ours = proc.root(pid).is_ok_and(|target| target.path == Path::new("/"));
        let same_mounts = portwise_sys::ns::id_of(pid, portwise_sys::ns::Kind::Mount)
            .and_then(|id| Ok(id == portwise_sys::ns::own_id(portwise_sys::ns::Kind::Mount)?));
        let is_ours = is_ours && same_mounts.unwrap_or(false);
        let root = if is_ours { "/".into() } else { root };
        let directory = proc.cwd(pid).map_or_else(|_| "/".into(), |target| target.path);
        let environment = proc.read(format!("proc/{pid}/environ")).unwrap_or_default();
        let set = environment.split(|b| *b == 0).find_map(|var| var.strip_prefix(b"PATH="));
        let path = set.map_or_else(|| USUAL_PATH.into(), |p| OsString::from_vec(p.to_vec()));
        Finder { proc, place: Place { root, directory }, path }
    }

    /// The programs that a command executes, one after the other: that which it names, and what
    /// `env` then starts in its own place.
    ///
    /// # Errors
    /// If no directory of `PATH` has it.
    pub(super) fn programs(&self, command: &[OsString]) -> Result<Vec<Program>, Trouble> {
        let mut programs = Vec::new();
        let mut command = command.to_vec();
        let mut path = self.path.clone();
        while let Some(name) = command.first().cloned() {
            let file = self.look_up(&name, &path)?;
            let (program, arguments) = self.program(&name, &file, &command[1..]);
            let is_env = program.binary().is_some_and(|file| env::is(Path::new(&*file.path)))
                || env::is(Path::new(&name));
            programs.push(program);
            let next = env::next(&arguments).filter(|_| is_env && programs.len() < CHAIN);
            let Some(next) = next else { break };
            command = next.command;
            path = next.path.unwrap_or(path);
        }
        Ok(programs)
    }

    /// The program file that a process runs.
    pub(super) fn running(&self, file: &Path) -> Program {
        let name = file.file_name().unwrap_or(file.as_os_str());
        self.program(name, file, &[]).0
    }

    /// The file that a name without `/` stands for: the first in `PATH` that is to be executed,
    /// as execvp(3) has it.
    fn look_up(&self, name: &OsStr, path: &OsStr) -> Result<PathBuf, Trouble> {
        if name.as_bytes().contains(&b'/') {
            return Ok(name.into());
        }
        let executable =
            |inode: &path::Inode| inode.kind == path::FileKind::Regular && inode.mode & 0o111 != 0;
        let mut there = None;
        for directory in std::env::split_paths(path) {
            let file = directory.join(name);
            match self.place.resolve(&file).file {
                Ok(Some(inode)) if executable(&inode) => return Ok(file),
                Ok(Some(_)) => there = there.or(Some(file)),
                _ => {}
            }
        }
        there.ok_or_else(|| {
            let name = name.to_string_lossy();
            let path = path.to_string_lossy();
            Trouble::new(format!("there is no program `{name}` in PATH ({path}); name its file"))
        })
    }

    /// A program by its file, and the arguments that its binary is given.
    fn program(
        &self,
        name: &OsStr,
        file: &Path,
        arguments: &[OsString],
    ) -> (Program, Vec<OsString>) {
        /// One more than the kernel follows.
        const FILES: usize = 7;
        let mut program = Program {
            name: name.to_string_lossy().into_owned().into(),
            files: Vec::new(),
            loader: None,
            origin: Vec::new(),
            elsewhere: Vec::new(),
        };
        let mut arguments = arguments.to_vec();
        let mut at = file.to_owned();
        while program.files.len() < FILES {
            let (mut found, head) = self.file(&at);
            let interpreter = match self.form(&mut found, head.as_deref()) {
                Form::Script(interpreter, argument) => {
                    arguments.insert(0, at.clone().into());
                    arguments.splice(0..0, argument);
                    Some(interpreter)
                }
                // Whoever starts it hands it to the shell, if the kernel will not run it.
                Form::Text if program.files.is_empty() => {
                    arguments.insert(0, at.clone().into());
                    Some("/bin/sh".into())
                }
                Form::Elf(elf) => {
                    self.loader(&mut program, &found, &elf);
                    None
                }
                Form::Text | Form::Other => None,
            };
            program.files.push(found);
            let Some(interpreter) = interpreter else { break };
            at = interpreter;
        }
        (program, arguments)
    }

    /// What a file is by its first bytes, which is put into it.
    fn form(&self, file: &mut Executable, head: Option<&[u8]>) -> Form {
        let Some(head) = head else { return Form::Other };
        let (form, format) = if let Some((interpreter, argument)) = elf::parse_script(head) {
            let argument = argument.map(OsString::from_vec);
            (Form::Script(OsString::from_vec(interpreter).into(), argument), Format::Script)
        } else if let Some(elf) = elf::parse(head) {
            match elf.runs && file::is_native(&elf) {
                true => (Form::Elf(elf), Format::Elf),
                false => (Form::Other, Format::Unknown),
            }
        } else if head.starts_with(b"#!") || head.iter().take(80).any(|byte| *byte == 0) {
            (Form::Other, Format::Unknown)
        } else {
            (Form::Text, Format::Text)
        };
        file.format = match format {
            Format::Unknown => file::unknown_format(&self.proc, &file.path),
            known => portwise_model::Fact::known(known, "its first bytes"),
        };
        form
    }

    fn loader(&self, program: &mut Program, binary: &Executable, elf: &Elf) {
        let Loader::Dynamic(path) = &elf.loader else { return };
        let path = PathBuf::from(OsString::from_vec(path.clone()));
        let (mut loader, head) = self.file(&path);
        if let Some(head) = head {
            self.form(&mut loader, Some(&head));
        }
        program.loader = Some(loader);
        libraries::look(&self.place, program, Path::new(&*binary.path));
    }
}

enum Form {
    Script(PathBuf, Option<OsString>),
    Text,
    Elf(Elf),
    Other,
}

/// The first bytes of a file, more of them where the name of the loader stands further behind.
fn head(file: &Path) -> Result<Vec<u8>, portwise_sys::Error> {
    const USUAL: u64 = 4096;
    const MORE: u64 = 1 << 20;
    let head = path::head(file, USUAL)?;
    match elf::parse(&head).map(|elf| elf.loader) {
        Some(Loader::NotSeen) => path::head(file, MORE),
        _ => Ok(head),
    }
}

/// Whether an error says that there is no such file.
fn is_absent(error: &portwise_sys::Error) -> bool {
    matches!(error.errno, Errno::ENOENT | Errno::ENOTDIR)
}
