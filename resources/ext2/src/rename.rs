//! Renaming, with the rules of Linux's `renameat2`.

use alloc::collections::BTreeSet;
use alloc::vec;

use crate::attributes::{Context, InodeNumber, Kind, Rename};
use crate::buffers::Wave;
use crate::directory::{Found, Slot};
use crate::error::Error;
use crate::file_system::{FileSystem, Stop};
use crate::inodes::Place;
use crate::layout::entry;
use crate::layout::inode::{Inode, MOST_LINKS};
use crate::refuge::Refuge;
use crate::state::State;
use crate::volume::Volume;

/// A name, its directory, and what it stands for.
#[derive(Debug)]
struct Side {
    directory: Place,
    found: Found,
    place: Place,
    inode: Inode,
    /// The entry `..` in it, if it is a directory that gets another parent.
    parent_entry: Option<Found>,
}

impl Side {
    /// The inode, as one that loses its name to another.
    fn displaced(&self) -> Result<(InodeNumber, Kind), Error> {
        Ok((self.place.number, self.inode.kind()?))
    }
}

impl<V: Volume> FileSystem<V> {
    pub(crate) async fn try_rename(
        &self,
        context: Context,
        (from, old): (InodeNumber, &[u8]),
        (to, new): (InodeNumber, &[u8]),
        how: Rename,
    ) -> Result<(), Stop> {
        entry::check_name(old)?;
        entry::check_new_name(new)?;
        if entry::is_dots(old) || entry::is_dots(new) {
            return Err(Error::Busy.into());
        }
        // While this is held, no directory gets another parent.
        let _moving = match from == to {
            true => None,
            false => Some(self.moves.exclusive().await),
        };
        self.live_directory(from).await?;
        let there = self.peek(to, new).await?;
        let replaced = there.and_then(|(inode, is_directory)| is_directory.then_some(inode));
        let refuge = self.refuge_if(there.is_some()).await;
        let mut locks = vec![from, to];
        locks.extend(replaced);
        let _locked = self.lock_all(&locks).await;
        let (from_place, from_inode) = self.live_directory(from).await?;
        let (to_place, to_inode) = self.live_directory(to).await?;
        let found = self.find(&from_inode, old).await?.ok_or(Error::NotFound)?;
        let source = self.side(from_place, found, from != to).await?;
        let search = self.search(&to_inode, new, true).await?;
        let target = match search.found {
            Some(found) => Some(self.side(to_place.clone(), found, from != to).await?),
            None => None,
        };
        let directory = target.as_ref().filter(|target| target.inode.is_directory());
        let other = directory.is_some_and(|target| Some(target.place.number) != replaced);
        if other || target.is_some() && there.is_none() {
            return Err(Stop::Changed);
        }
        self.check_rename(&source, target.as_ref(), &to_place, how)
            .await?;
        match target {
            Some(target) if source.place.number == target.place.number => Ok(()),
            Some(target) if how == Rename::Exchange => {
                self.exchange(context, &source, &target, refuge)
            }
            Some(target) => self.replace(context, &source, &target, refuge),
            None if from == to && source.found.length >= entry::needed(new.len()) => {
                self.rename_in_place(context, &source, new)
            }
            None => {
                let near = (from == to)
                    .then(|| self.room_in(&source.found.buffer, new))
                    .flatten();
                let room = near.or(search.room);
                let slot = self.prepare_slot(context, &to_inode, room).await?;
                self.move_name(context, &source, &to_place, slot, new)
            }
        }
    }

    async fn side(&self, directory: Place, found: Found, moves: bool) -> Result<Side, Error> {
        let (place, inode) = self.named_inode(found.inode).await?;
        let mut parent_entry = None;
        if moves && inode.is_directory() {
            let found = self.find(&inode, b"..").await?;
            parent_entry = Some(found.ok_or(Error::Corrupt("a directory without a parent"))?);
        }
        Ok(Side {
            directory,
            found,
            place,
            inode,
            parent_entry,
        })
    }

    async fn check_rename(
        &self,
        source: &Side,
        target: Option<&Side>,
        to: &Place,
        how: Rename,
    ) -> Result<(), Error> {
        match (target, how) {
            (Some(_), Rename::NoReplace) => return Err(Error::Exists),
            (None, Rename::Exchange) => return Err(Error::NotFound),
            _ => {}
        }
        let from = source.directory.number;
        if source.inode.is_directory() && self.is_below(to.number, source.place.number).await? {
            return Err(Error::Invalid);
        }
        if let Some(target) = target.filter(|target| target.inode.is_directory())
            && self.is_below(from, target.place.number).await?
        {
            let exchange = how == Rename::Exchange;
            return Err(if exchange {
                Error::Invalid
            } else {
                Error::NotEmpty
            });
        }
        let kept = |side: &Side| side.inode.is_kept();
        if kept(source) || target.is_some_and(kept) {
            return Err(Error::NotPermitted);
        }
        let crosses = from != to.number;
        let Some(target) = target else {
            let full = to.read().links() >= MOST_LINKS;
            let adds = source.inode.is_directory() && crosses;
            return if full && adds {
                Err(Error::TooManyLinks)
            } else {
                Ok(())
            };
        };
        if how == Rename::Exchange || source.place.number == target.place.number {
            return Ok(());
        }
        match (source.inode.is_directory(), target.inode.is_directory()) {
            (true, false) => Err(Error::NotADirectory),
            (false, true) => Err(Error::IsADirectory),
            (true, true) if !self.is_empty(&target.inode).await? => Err(Error::NotEmpty),
            _ => Ok(()),
        }
    }

    /// Whether a directory is another one or below it. Nothing moves meanwhile.
    async fn is_below(&self, directory: InodeNumber, above: InodeNumber) -> Result<bool, Error> {
        let mut seen = BTreeSet::new();
        let mut at = directory;
        while at != above {
            if at == InodeNumber::ROOT {
                return Ok(false);
            }
            if !seen.insert(at) {
                return Err(Error::Corrupt("a directory below itself"));
            }
            let (_, inode) = self.directory(at).await?;
            let parent = self.find(&inode, b"..").await?;
            at = parent
                .ok_or(Error::Corrupt("a directory without a parent"))?
                .inode;
        }
        Ok(true)
    }

    /// The name is changed where it is.
    fn rename_in_place(&self, context: Context, source: &Side, new: &[u8]) -> Result<(), Stop> {
        let code = self.entry_code(source.inode.kind()?);
        let mut state = self.state.lock();
        let found = &source.found;
        found.buffer.change(&mut state, Wave::Names, |bytes| {
            entry::write(bytes, found.at, found.length, found.inode, code, new);
        });
        source
            .place
            .update(&mut state, |inode| inode.set_changed(context.now));
        touch(&mut state, &source.directory, context, 0);
        Ok(())
    }

    /// The name goes to a place where there was none.
    fn move_name(
        &self,
        context: Context,
        source: &Side,
        to: &Place,
        mut slot: Slot<'_, V>,
        new: &[u8],
    ) -> Result<(), Stop> {
        let kind = source.inode.kind()?;
        let number = source.place.number;
        let mut state = self.state.lock();
        let same_block = slot
            .buffer()
            .is_some_and(|b| b.block() == source.found.buffer.block());
        let (into, out_of) = if same_block {
            (Wave::Names, Wave::Names)
        } else {
            state.check_receiver(number, to.number, slot.buffer())?;
            if !source.found.buffer.admits(Wave::Giver) {
                return Err(Stop::Order);
            }
            (state.receiver_wave(number), Wave::Giver)
        };
        self.put_entry(&mut state, to, &mut slot, into, (number, kind, new));
        state.leave(source, out_of);
        self.adopt(&mut state, source, to.number);
        let moved = i32::from(source.parent_entry.is_some());
        touch(&mut state, &source.directory, context, -moved);
        touch(&mut state, to, context, moved);
        source
            .place
            .update(&mut state, |inode| inode.set_changed(context.now));
        Ok(())
    }

    /// The name takes the place of another, whose inode loses it.
    fn replace(
        &self,
        context: Context,
        source: &Side,
        target: &Side,
        refuge: Option<Refuge>,
    ) -> Result<(), Stop> {
        let code = self.entry_code(source.inode.kind()?);
        let number = source.place.number;
        let gone = target.place.number;
        let mut state = self.state.lock();
        let into = &target.found.buffer;
        // What the replaced one had gained or given must be safe before it goes, and the inode that
        // the name will stand for must be there.
        let unsettled = state.epoch.named.contains(&gone.0) || state.epoch.gave.contains(&gone.0);
        let new = state.epoch.made.contains_key(&number.0);
        if unsettled || new || !into.admits(Wave::Receiver) {
            return Err(Stop::Order);
        }
        state.check_receiver(number, target.directory.number, Some(into))?;
        let same_block = into.block() == source.found.buffer.block();
        if !same_block && !source.found.buffer.admits(Wave::Giver) {
            return Err(Stop::Order);
        }
        self.displace(&mut state, refuge, &[target.displaced()?])?;
        into.change(&mut state, Wave::Receiver, |bytes| {
            entry::set_inode(bytes, target.found.at, number, code);
        });
        state.leave(source, if same_block { Wave::Names } else { Wave::Giver });
        self.adopt(&mut state, source, target.directory.number);
        let moved = i32::from(source.parent_entry.is_some());
        let lost = i32::from(target.inode.is_directory());
        touch(&mut state, &source.directory, context, -moved);
        touch(&mut state, &target.directory, context, moved - lost);
        source
            .place
            .update(&mut state, |inode| inode.set_changed(context.now));
        state.drop_name(&target.place, context.now);
        Ok(())
    }

    /// Two names change places.
    fn exchange(
        &self,
        context: Context,
        source: &Side,
        target: &Side,
        refuge: Option<Refuge>,
    ) -> Result<(), Stop> {
        let codes = (
            self.entry_code(source.inode.kind()?),
            self.entry_code(target.inode.kind()?),
        );
        let (one, other) = (source.place.number, target.place.number);
        let mut state = self.state.lock();
        let new = |inode: InodeNumber| state.epoch.made.contains_key(&inode.0);
        if new(one) || new(other) {
            return Err(Stop::Order);
        }
        state.check_receiver(one, target.directory.number, Some(&target.found.buffer))?;
        state.check_receiver(other, source.directory.number, Some(&source.found.buffer))?;
        if ![source, target]
            .iter()
            .all(|side| side.found.buffer.admits(Wave::Receiver))
        {
            return Err(Stop::Order);
        }
        let both = [source.displaced()?, target.displaced()?];
        self.displace(&mut state, refuge, &both)?;
        for (side, number, code) in [(source, other, codes.1), (target, one, codes.0)] {
            side.found
                .buffer
                .change(&mut state, Wave::Receiver, |bytes| {
                    entry::set_inode(bytes, side.found.at, number, code);
                });
            side.place
                .update(&mut state, |inode| inode.set_changed(context.now));
            state.epoch.named.insert(number.0);
        }
        self.adopt(&mut state, source, target.directory.number);
        self.adopt(&mut state, target, source.directory.number);
        let directories = |side: &Side| i32::from(side.parent_entry.is_some());
        let moved = directories(source) - directories(target);
        touch(&mut state, &source.directory, context, -moved);
        touch(&mut state, &target.directory, context, moved);
        Ok(())
    }

    /// What has moved gets another parent.
    fn adopt(&self, state: &mut State, side: &Side, parent: InodeNumber) {
        let Some(entry) = &side.parent_entry else {
            return;
        };
        let code = self.entry_code(Kind::Directory);
        entry.buffer.change(state, Wave::Names, |bytes| {
            entry::set_inode(bytes, entry.at, parent, code);
        });
    }
}

impl State {
    /// The old name goes.
    fn leave(&mut self, source: &Side, wave: Wave) {
        source.found.remove(self, wave);
        if !self.epoch.made.contains_key(&source.place.number.0) {
            self.epoch.named.insert(source.place.number.0);
        }
        self.epoch.gave.insert(source.directory.number.0);
    }
}

/// A directory has changed; `links` is how many directories more it has.
fn touch(state: &mut State, directory: &Place, context: Context, links: i32) {
    directory.update(state, |inode| {
        inode.drop_index();
        inode.touch(context.now);
        inode.set_links(inode.links().saturating_add_signed(links));
    });
}
