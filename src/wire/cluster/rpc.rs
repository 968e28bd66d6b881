// SPDX-License-Identifier: Apache-2.0
//! Questions and answers between members (`RpcMessage`), and what `StaticMembershipService` asks with them.

use super::error::ClusterError;
use super::member::Member;
use crate::wire::stream::{Descriptor, Field, Object, Part, Stream, Value, Verdicts, Writer, flag};

const EXTERNAL: u8 = flag::EXTERNALIZABLE | flag::BLOCK_DATA;

const RPC: Descriptor = Descriptor {
    name: "org.apache.catalina.tribes.group.RpcMessage",
    version: 0x712a_750f_f274_e509,
    flags: EXTERNAL,
    fields: &[],
    parent: None,
};

const NO_REPLY: Descriptor = Descriptor {
    name: "org.apache.catalina.tribes.group.RpcMessage$NoRpcChannelReply",
    version: 0x7bab_8fb3_6a4b_5ba6,
    flags: EXTERNAL,
    fields: &[],
    parent: Some(&RPC),
};

const MEMBER_10: Descriptor = Descriptor {
    name: "org.apache.catalina.tribes.membership.MemberImpl",
    version: 0x8476_f37b_3295_3667,
    flags: EXTERNAL,
    fields: &[],
    parent: None,
};
const MEMBER_9: Descriptor = Descriptor { version: 0x2e21_0879_1550_6d1c, ..MEMBER_10 };

const STATIC: Descriptor = Descriptor {
    name: "org.apache.catalina.tribes.membership.StaticMembershipProvider$MemberMessage",
    version: 1,
    flags: flag::SERIALIZABLE,
    fields: &[
        (b'I', "msgtype", ""),
        (b'L', "member", "Lorg/apache/catalina/tribes/Member;"),
        (b'[', "membershipId", "[B"),
    ],
    parent: None,
};

/// The version of `MemberImpl`, which differs between lines of Tomcat: a member is written to a node as that node writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemberVersion {
    /// Tomcat 9.0.
    Nine,
    /// Tomcat 10.1 and later.
    #[default]
    Ten,
}

/// A question, an answer, or "nobody here knows".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rpc {
    /// An answer to a question of this `uuid`.
    pub is_reply: bool,
    /// Nobody serves this `rpc_id` (`NoRpcChannelReply`).
    pub is_unknown: bool,
    pub uuid: Vec<u8>,
    /// Name of the service.
    pub rpc_id: Vec<u8>,
    /// A stream of its own, to be read with what it is for; [`Value::null`] for none.
    pub message: Value,
}

impl Rpc {
    /// Reads the payload of a frame; `Ok(None)` if it holds something else.
    ///
    /// # Errors
    /// The bytes are no Java stream, or the question is malformed.
    pub fn read(bytes: &[u8], limit: usize) -> Result<Option<Rpc>, ClusterError> {
        let stream = Stream::parse(bytes, &mut Verdicts::default())?;
        let contents = stream.contents();
        let object = contents.clone().object()?;
        let is_unknown = match object.class_name() {
            Some(name) if name == RPC.name.as_bytes() => false,
            Some(name) if name == NO_REPLY.name.as_bytes() => true,
            _ => return Ok(None),
        };
        let parts = object.external().ok_or(contents.unexpected("a question"))?;
        let mut data = Vec::new();
        let mut message = Value::null();
        for part in parts {
            match part {
                Part::Data(bytes) => data.extend_from_slice(bytes),
                Part::Object(object) if object.is_null() => {}
                Part::Object(object) => message = object.to_value(limit)?,
            }
        }
        let mut reader = super::member::Reader { rest: &data, what: "the question" };
        let is_reply = if is_unknown { true } else { reader.array::<1>()? != [0] };
        let uuid = reader.counted()?.to_vec();
        let rpc_id = reader.counted()?.to_vec();
        Ok(Some(Rpc { is_reply, is_unknown, uuid, rpc_id, message }))
    }

    /// The payload of the answer that nobody serves this question. Without it a starting Tomcat waits for seconds.
    pub fn unknown(uuid: &[u8], rpc_id: &[u8]) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.object(&NO_REPLY);
        counted(&mut writer, uuid);
        counted(&mut writer, rpc_id);
        writer.end();
        writer.finish()
    }

    fn begin(uuid: &[u8], rpc_id: &[u8], is_reply: bool) -> Writer {
        let mut writer = Writer::new();
        writer.object(&RPC);
        writer.boolean(is_reply);
        counted(&mut writer, uuid);
        counted(&mut writer, rpc_id);
        writer
    }
}

fn counted(writer: &mut Writer, bytes: &[u8]) {
    writer.bytes(&super::member::length_of(bytes.len()));
    writer.bytes(bytes);
}

/// What a [`StaticMessage`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum StaticWord {
    Start = 1,
    Stop = 2,
    Ping = 3,
}

/// What members of `StaticMembershipService` tell each other (`MemberMessage`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticMessage {
    pub word: StaticWord,
    pub member: Member,
    /// Name of the membership: that of the channel and `-StaticMembership`.
    pub membership_id: Vec<u8>,
    /// As the sender writes members.
    pub version: MemberVersion,
}

impl StaticMessage {
    /// Reads it out of an [`Rpc`] or, with [`StaticMessage::read_payload`], out of a frame; `Ok(None)` if it is something else.
    ///
    /// # Errors
    /// It is malformed.
    pub fn read(value: &Value) -> Result<Option<StaticMessage>, ClusterError> {
        let mut writer = Writer::new();
        writer.value(value);
        Self::read_payload(&writer.finish())
    }

    /// Reads the payload of a frame.
    ///
    /// # Errors
    /// As [`StaticMessage::read`].
    pub fn read_payload(bytes: &[u8]) -> Result<Option<StaticMessage>, ClusterError> {
        let stream = Stream::parse(bytes, &mut Verdicts::default())?;
        let contents = stream.contents();
        let object = contents.clone().object()?;
        if object.class_name() != Some(STATIC.name.as_bytes()) {
            return Ok(None);
        }
        let malformed = || contents.unexpected("a static member");
        let fields = object.fields().ok_or_else(malformed)?;
        let field = |name: &[u8]| fields.iter().find(|(known, _)| *known == name).map(|(_, field)| *field);
        let word = match field(b"msgtype") {
            Some(Field::Primitive([0, 0, 0, 1])) => StaticWord::Start,
            Some(Field::Primitive([0, 0, 0, 2])) => StaticWord::Stop,
            Some(Field::Primitive([0, 0, 0, 3])) => StaticWord::Ping,
            _ => return Err(malformed().into()),
        };
        let Some(Field::Object(member)) = field(b"member") else { return Err(malformed().into()) };
        let (member, version) = read_member(&member).ok_or_else(malformed)?;
        let id = match field(b"membershipId") {
            Some(Field::Object(id)) => id.as_byte_array().unwrap_or_default().to_vec(),
            _ => Vec::new(),
        };
        Ok(Some(StaticMessage { word, member: member?, membership_id: id, version }))
    }

    fn write(&self, writer: &mut Writer) {
        writer.object(&STATIC);
        writer.field(&(self.word as i32).to_be_bytes());
        writer.object(match self.version {
            MemberVersion::Nine => &MEMBER_9,
            MemberVersion::Ten => &MEMBER_10,
        });
        let block = self.member.to_bytes();
        counted(writer, &block);
        writer.end();
        writer.byte_array(&self.membership_id);
    }

    /// The payload of a message of its own.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        writer.finish()
    }

    /// The payload of a question or an answer.
    pub fn to_rpc(&self, uuid: &[u8], is_reply: bool) -> Vec<u8> {
        let mut writer = Rpc::begin(uuid, &self.membership_id, is_reply);
        self.write(&mut writer);
        writer.end();
        writer.finish()
    }
}

/// A `MemberImpl` or `StaticMember`, and how it was written.
fn read_member(object: &Object<'_>) -> Option<(Result<Member, ClusterError>, MemberVersion)> {
    let mut data = Vec::new();
    for part in object.external()? {
        if let Part::Data(bytes) = part {
            data.extend_from_slice(bytes);
        }
    }
    let is_of_nine = object.class_version_of(MEMBER_9.name.as_bytes()) == Some(MEMBER_9.version);
    let version = if is_of_nine { MemberVersion::Nine } else { MemberVersion::Ten };
    let block = data.get(4..)?;
    Some((Member::read(block), version))
}
