//! Names: which folder holds what, as the running system sees it and as the disk has it.
//!
//! A change of names (made, renamed, removed) is journaled: it becomes durable with a sync of one of its folders, together
//! with all earlier changes of its folders. At a loss of power, of the changes that are not durable each folder keeps the
//! first ones; a rename between folders is there in both or in neither.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};

use crate::random::Random;

pub(crate) type FolderId = u64;
pub(crate) type FileId = u64;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Folder(FolderId),
    File(FileId),
}

#[derive(Clone, Debug, Default)]
struct Folder {
    current: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
}

/// A change that happens whole or not at all.
#[derive(Clone, Debug)]
struct Change(Vec<(FolderId, String, Option<Node>)>);

impl Change {
    fn touches(&self, folders: &BTreeSet<FolderId>) -> bool {
        self.0.iter().any(|(folder, _, _)| folders.contains(folder))
    }
}

#[derive(Debug)]
pub(crate) struct Names {
    folders: BTreeMap<FolderId, Folder>,
    journal: Vec<Change>,
    next_id: u64,
}

const ROOT: FolderId = 0;

fn not_found() -> io::Error {
    io::Error::from_raw_os_error(2)
}

impl Names {
    pub(crate) fn new() -> Self {
        Self {
            folders: BTreeMap::from([(ROOT, Folder::default())]),
            journal: Vec::new(),
            next_id: 1,
        }
    }

    pub(crate) fn take_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    pub(crate) fn find(&self, path: &Path) -> Option<Node> {
        let mut node = Node::Folder(ROOT);
        for component in path.components() {
            let Component::Normal(name) = component else {
                continue;
            };
            let Node::Folder(folder) = node else {
                return None;
            };
            node = *self.folders[&folder].current.get(name.to_str()?)?;
        }
        Some(node)
    }

    pub(crate) fn folder(&self, path: &Path) -> io::Result<FolderId> {
        match self.find(path) {
            Some(Node::Folder(folder)) => Ok(folder),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(not_found()),
        }
    }

    /// The folder that holds a name, and the name.
    pub(crate) fn place(&self, path: &Path) -> io::Result<(FolderId, String)> {
        let parent = path.parent().ok_or_else(not_found)?;
        let name = path.file_name().and_then(|name| name.to_str());
        Ok((self.folder(parent)?, name.ok_or_else(not_found)?.to_owned()))
    }

    pub(crate) fn list(&self, path: &Path) -> io::Result<Vec<(String, Node)>> {
        let folder = self.folder(path)?;
        let names = self.folders[&folder].current.iter();
        Ok(names.map(|(name, node)| (name.clone(), *node)).collect())
    }

    fn change(&mut self, parts: Vec<(FolderId, String, Option<Node>)>) {
        for (folder, name, node) in &parts {
            let folder = self.folders.entry(*folder).or_default();
            set(&mut folder.current, name, *node);
        }
        self.journal.push(Change(parts));
    }

    pub(crate) fn add(&mut self, path: &Path, node: Node) -> io::Result<()> {
        let (folder, name) = self.place(path)?;
        if let Node::Folder(id) = node {
            self.folders.insert(id, Folder::default());
        }
        self.change(vec![(folder, name, Some(node))]);
        Ok(())
    }

    pub(crate) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.find(from).ok_or_else(not_found)?;
        let (from_folder, from_name) = self.place(from)?;
        let (to_folder, to_name) = self.place(to)?;
        if let (Node::Folder(_), Some(Node::Folder(replaced))) = (node, self.find(to))
            && !self.folders[&replaced].current.is_empty()
        {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.change(vec![
            (from_folder, from_name, None),
            (to_folder, to_name, Some(node)),
        ]);
        Ok(())
    }

    pub(crate) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        match self.find(path) {
            Some(Node::File(_)) => {}
            Some(Node::Folder(_)) => return Err(io::ErrorKind::IsADirectory.into()),
            None => return Err(not_found()),
        }
        let (folder, name) = self.place(path)?;
        self.change(vec![(folder, name, None)]);
        Ok(())
    }

    /// Removes an empty folder.
    pub(crate) fn remove_folder(&mut self, path: &Path) -> io::Result<()> {
        if !self.list(path)?.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let (folder, name) = self.place(path)?;
        self.change(vec![(folder, name, None)]);
        Ok(())
    }

    /// Makes the changes of a folder durable, and what has to come before them.
    pub(crate) fn sync(&mut self, folder: FolderId) {
        let mut wanted = BTreeSet::from([folder]);
        self.settle(|change| {
            let is_wanted = change.touches(&wanted);
            if is_wanted {
                wanted.extend(change.0.iter().map(|(folder, _, _)| *folder));
            }
            is_wanted
        });
    }

    pub(crate) fn sync_all(&mut self) {
        self.settle(|_| true);
    }

    /// The power is lost and comes back: of a thousand last changes so many are kept.
    pub(crate) fn lose_power(&mut self, kept: u64, random: &mut Random) {
        let mut wanted = BTreeSet::new();
        self.settle(|change| {
            let is_kept = change.touches(&wanted) || random.chance(kept);
            if is_kept {
                wanted.extend(change.0.iter().map(|(folder, _, _)| *folder));
            }
            is_kept
        });
        self.journal.clear();
        for folder in self.folders.values_mut() {
            folder.current.clone_from(&folder.durable);
        }
    }

    /// Asks for each change from the last to the first whether it becomes durable, and has those that do so in order.
    fn settle(&mut self, mut is_durable: impl FnMut(&Change) -> bool) {
        let mut durable: Vec<_> = self.journal.iter().rev().map(&mut is_durable).collect();
        durable.reverse();
        let mut durable = durable.into_iter();
        let folders = &mut self.folders;
        self.journal.retain(|change| {
            if !durable.next().unwrap_or(false) {
                return true;
            }
            for (folder, name, node) in &change.0 {
                set(
                    &mut folders.entry(*folder).or_default().durable,
                    name,
                    *node,
                );
            }
            false
        });
    }

    /// All files that a name leads to, now or after a loss of power.
    pub(crate) fn reachable(&self) -> BTreeSet<FileId> {
        let names = self.folders.values();
        let nodes = names.flat_map(|folder| folder.current.values().chain(folder.durable.values()));
        let pending = self.journal.iter().flat_map(|change| &change.0);
        let pending = pending.filter_map(|(_, _, node)| node.as_ref());
        let files = nodes.chain(pending).filter_map(|node| match node {
            Node::File(file) => Some(*file),
            Node::Folder(_) => None,
        });
        files.collect()
    }
}

fn set(names: &mut BTreeMap<String, Node>, name: &str, node: Option<Node>) {
    match node {
        Some(node) => names.insert(name.to_owned(), node),
        None => names.remove(name),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(paths: &[&str]) -> Names {
        let mut names = Names::new();
        for path in paths {
            let id = names.take_id();
            let node = if path.ends_with('/') {
                Node::Folder(id)
            } else {
                Node::File(id)
            };
            names.add(Path::new(path), node).unwrap();
        }
        names
    }

    fn exists(names: &Names, path: &str) -> bool {
        names.find(Path::new(path)).is_some()
    }

    #[test]
    fn a_name_survives_with_its_folders_sync() {
        let mut names = names(&["/a/", "/a/x"]);
        let folder = names.folder(Path::new("/a")).unwrap();
        names.sync(folder);
        names.lose_power(0, &mut Random::new(1));
        assert!(!exists(&names, "/a"), "the folder itself was not synced");

        let mut names = self::names(&["/a/", "/a/x"]);
        names.sync(folder);
        names.sync(ROOT);
        names.lose_power(0, &mut Random::new(1));
        assert!(exists(&names, "/a/x"));
    }

    #[test]
    fn a_rename_between_folders_is_whole() {
        for seed in 0..100 {
            let mut names = names(&["/a/", "/b/", "/a/x"]);
            names.sync_all();
            names.rename(Path::new("/a/x"), Path::new("/b/y")).unwrap();
            names.lose_power(500, &mut Random::new(seed));
            assert!(exists(&names, "/a/x") != exists(&names, "/b/y"));
        }
    }

    #[test]
    fn a_folder_keeps_the_first_of_its_changes() {
        for seed in 0..100 {
            let mut names = names(&["/a/"]);
            names.sync_all();
            for name in ["/a/1", "/a/2", "/a/3"] {
                let id = names.take_id();
                names.add(Path::new(name), Node::File(id)).unwrap();
            }
            names.lose_power(300, &mut Random::new(seed));
            let there: Vec<_> = ["/a/1", "/a/2", "/a/3"]
                .map(|name| exists(&names, name))
                .into();
            assert!(there.is_sorted_by(|one, next| one >= next), "{there:?}");
        }
    }
}
