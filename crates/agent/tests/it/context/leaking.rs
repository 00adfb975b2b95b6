//! What one user said never reaches another one's context.

use std::collections::HashSet;

use loomwork_agent::context::{Asked, ContextValues, Given, SearchValues};
use loomwork_messages::{MemberRole, NewMessage, Save, ThreadId, members, threads};
use loomwork_models::Message;
use proptest::prelude::*;

use super::desk::{Desk, assistant, recent};

const USERS: [&str; 3] = ["ada", "bob", "eve"];

/// A thread: its owner, who else is in it, who left it again, and who speaks.
#[derive(Clone, Debug)]
struct Room {
    owner: usize,
    joined: Vec<usize>,
    left: Vec<usize>,
    turns: Vec<(usize, bool)>,
    fate: u8,
}

fn room() -> impl Strategy<Value = Room> {
    let users = || prop::collection::vec(0..USERS.len(), 0..3);
    let turns = prop::collection::vec((0..USERS.len(), any::<bool>()), 1..4);
    (0..USERS.len(), users(), users(), turns, 0..8_u8).prop_map(|(owner, joined, left, turns, fate)| Room {
        owner,
        joined,
        left,
        turns,
        fate,
    })
}

async fn furnish(desk: &Desk, room: &Room) -> ThreadId {
    let thread = desk.thread(USERS[room.owner], "room").await;
    for (speaker, hidden) in room.turns.clone() {
        let says = NewMessage {
            user: Some(USERS[speaker].to_owned()),
            hidden,
            ..NewMessage::from(Message::user("carpets"))
        };
        desk.save_in(thread, Save::all([says, assistant("carpets too")])).await;
    }
    let Room { joined, left, fate, owner, .. } = room.clone();
    desk.commit(move |tx| {
        for user in joined {
            if user != owner && members::role_of(tx, thread, USERS[user])?.is_none() {
                members::add(tx, thread, USERS[user], MemberRole::Reader)?;
            }
        }
        for user in left {
            if user != owner {
                members::remove(tx, thread, USERS[user])?;
            }
        }
        match fate {
            0 => drop(threads::delete(tx, thread)?),
            1 => drop(members::pass_on(tx, thread, USERS[(owner + 1) % USERS.len()])?),
            _ => {}
        }
        Ok(())
    })
    .await;
    thread
}

async fn check(rooms: Vec<Room>) {
    let desk = Desk::open().await;
    let mut all = Vec::new();
    for room in &rooms {
        all.push(furnish(&desk, room).await);
    }
    let library = desk.library().await;
    library.ready().await;
    let search = SearchValues { limit: 5, text: true, vector: true, ..SearchValues::default() };
    let values = ContextValues { other_threads: true, search: Some(search), ..recent(0) };
    let mine = desk.thread;
    for user in USERS {
        let homeless = Asked::user(user).with(values.clone());
        let asked =
            [homeless, Asked { user: Some(user.to_owned()), ..Asked::thread(mine).with(values.clone()) }];
        let places = all.clone();
        let readable: HashSet<ThreadId> = desk
            .read(move |tx| {
                let mut readable = HashSet::new();
                for thread in &places {
                    if members::may(tx, *thread, user, MemberRole::Reader)? {
                        readable.insert(*thread);
                    }
                }
                Ok(readable)
            })
            .await;
        for asked in asked {
            let context = library.context(&asked, Given::prompt("carpets")).await;
            for piece in &context.pieces {
                if let Some(thread) = piece.thread {
                    assert!(
                        readable.contains(&thread) || thread == mine,
                        "{user} may not read {thread}:\n{context}"
                    );
                }
                if let (Some(_), Some(id)) = (piece.origin.why(), piece.id) {
                    let hit = desk.read(move |tx| tx.require(id)).await;
                    assert_eq!(hit.user.as_deref(), Some(user), "what is found is {user}'s own");
                    assert!(!hit.hidden);
                }
            }
            // And whoever has said something where they may read finds it.
            let is_theirs = |(room, thread): (&Room, &ThreadId)| {
                let said = |(speaker, hidden): &(usize, bool)| USERS[*speaker] == user && !hidden;
                // Answers are the owner's, as those whose threads they were said in.
                readable.contains(thread) && (USERS[room.owner] == user || room.turns.iter().any(said))
            };
            let finds = context.pieces.iter().any(|piece| piece.origin.why().is_some());
            assert_eq!(finds, rooms.iter().zip(&all).any(is_theirs), "{user}:\n{context}");
        }
    }
    library.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_is_told_what_they_may_not_read(rooms in prop::collection::vec(room(), 1..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("it starts");
        runtime.block_on(check(rooms));
    }
}
