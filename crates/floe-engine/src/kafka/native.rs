//! Requests that librdkafka has and its Rust crate has not: topic ids, offsets of many partitions in one request, and the
//! positions of a group without being its member (KIP-396).
//!
//! **Why there is unsafe code here.** The crate `rdkafka` leaves these calls to its raw bindings. Each function below
//! blocks, owns whatever it makes for as long as the call needs it, copies the answer before the event that holds it is
//! destroyed, and hands out no pointer. The rules it relies on are those of librdkafka's header (`rdkafka.h`): lists and
//! requests are copied by the call, results live as long as their event, and strings in results are never null unless said.
#![expect(unsafe_code, reason = "librdkafka's C interface: see the head of this file")]

use std::{
    ffi::{CStr, CString, c_char, c_int},
    ptr, slice,
    time::Duration,
};

use rdkafka::{
    Offset, TopicPartitionList, bindings as sys,
    client::{Client, ClientContext},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    message::BorrowedMessage,
    types::RDKafkaRespErr,
};

/// A topic as the cluster describes it.
#[derive(Clone, Debug)]
pub(super) struct TopicFacts {
    /// Its id (KIP-516), folded to 64 bits: a topic made again has another one.
    pub(super) id: u64,
    /// The leader of each partition, by number; -1 while there is none.
    pub(super) leaders: Vec<i32>,
}

/// Offsets of partitions: topic, partition, and the offset or what the broker said instead.
pub(super) type Offsets = Vec<(String, u32, Result<i64, RDKafkaErrorCode>)>;

/// Which offset of a partition is asked for: a special value or a time, as ListOffsets has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OffsetQuery {
    Earliest,
    Latest,
    /// The first record at or after this time, milliseconds since the epoch; answered with -1 when there is none.
    Time(i64),
}

/// A handle that is destroyed by its own function.
struct Owned<T>(*mut T, unsafe extern "C" fn(*mut T));

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: made by the matching constructor, and destroyed once, here.
            unsafe { (self.1)(self.0) }
        }
    }
}

fn code(error: RDKafkaRespErr) -> RDKafkaErrorCode {
    RDKafkaErrorCode::from(error)
}

fn error_of(error: *const sys::rd_kafka_error_t) -> Option<RDKafkaErrorCode> {
    if error.is_null() {
        return None;
    }
    // SAFETY: not null, and borrowed from a living result.
    let found = unsafe { sys::rd_kafka_error_code(error) };
    (found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| code(found))
}

fn text(bytes: *const c_char) -> String {
    if bytes.is_null() {
        return String::new();
    }
    // SAFETY: not null, and a C string borrowed from a living result.
    unsafe { CStr::from_ptr(bytes) }.to_string_lossy().into_owned()
}

fn c_text(text: &str) -> KafkaResult<CString> {
    CString::new(text).map_err(KafkaError::Nul)
}

/// Sends a request and waits for its event, which is destroyed after `read` has copied what it wants.
fn ask<C: ClientContext, T>(
    client: &Client<C>,
    operation: sys::rd_kafka_admin_op_t,
    limit: Duration,
    send: impl FnOnce(*mut sys::rd_kafka_t, *const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    read: impl FnOnce(*mut sys::rd_kafka_event_t) -> T,
) -> KafkaResult<T> {
    let limit_ms = c_int::try_from(limit.as_millis()).unwrap_or(c_int::MAX);
    let handle = client.native_ptr();
    // SAFETY: the client outlives this call, and with it the handle; queue and options are destroyed before it is.
    let (queue, options) = unsafe {
        (
            Owned(sys::rd_kafka_queue_new(handle), sys::rd_kafka_queue_destroy),
            Owned(sys::rd_kafka_AdminOptions_new(handle, operation), sys::rd_kafka_AdminOptions_destroy),
        )
    };
    let mut why = [0 as c_char; 256];
    // SAFETY: the buffer has the length that is said.
    let set = unsafe {
        sys::rd_kafka_AdminOptions_set_request_timeout(options.0, limit_ms, why.as_mut_ptr(), why.len())
    };
    if set != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Err(KafkaError::AdminOpCreation(text(why.as_ptr())));
    }
    send(handle, options.0, queue.0);
    // the request itself ends at its limit; this is only a little later
    // SAFETY: the queue is alive; an event that comes is destroyed below.
    let event =
        unsafe { Owned(sys::rd_kafka_queue_poll(queue.0, limit_ms.saturating_add(1_000)), destroy_event) };
    if event.0.is_null() {
        return Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut));
    }
    // SAFETY: the event is alive.
    let failed = unsafe { sys::rd_kafka_event_error(event.0) };
    if failed != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Err(KafkaError::AdminOp(code(failed)));
    }
    Ok(read(event.0))
}

unsafe extern "C" fn destroy_event(event: *mut sys::rd_kafka_event_t) {
    // SAFETY: called once, by `Owned`.
    unsafe { sys::rd_kafka_event_destroy(event) }
}

/// The pointers of a result's array.
///
/// # Safety
/// `array` has `count` elements, or is null with none.
unsafe fn elements<'a, T>(array: *mut *const T, count: usize) -> &'a [*const T] {
    if array.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: as the caller promises.
    unsafe { slice::from_raw_parts(array.cast_const(), count) }
}

/// Id and leaders of topics, in the order asked for.
pub(super) fn describe_topics<C: ClientContext>(
    client: &Client<C>,
    names: &[&str],
    limit: Duration,
) -> KafkaResult<Vec<(String, Result<TopicFacts, RDKafkaErrorCode>)>> {
    let names = names.iter().map(|name| c_text(name)).collect::<KafkaResult<Vec<_>>>()?;
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: the names live until the collection has copied them.
    let topics = unsafe {
        Owned(
            sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()),
            sys::rd_kafka_TopicCollection_destroy,
        )
    };
    ask(
        client,
        sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        limit,
        // SAFETY: all four live through the call.
        |handle, options, queue| unsafe { sys::rd_kafka_DescribeTopics(handle, topics.0, options, queue) },
        // SAFETY: the result lives as long as the event, and so do its elements.
        |event| unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_DescribeTopics_result(event);
            let found = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
            elements(found, count).iter().map(|topic| facts(*topic)).collect()
        },
    )
}

/// # Safety
/// The description is alive.
unsafe fn facts(
    topic: *const sys::rd_kafka_TopicDescription_t,
) -> (String, Result<TopicFacts, RDKafkaErrorCode>) {
    // SAFETY: as the caller promises; ids and partitions belong to the description.
    unsafe {
        let name = text(sys::rd_kafka_TopicDescription_name(topic));
        if let Some(error) = error_of(sys::rd_kafka_TopicDescription_error(topic)) {
            return (name, Err(error));
        }
        let uuid = sys::rd_kafka_TopicDescription_topic_id(topic);
        let id = if uuid.is_null() {
            0
        } else {
            (sys::rd_kafka_Uuid_most_significant_bits(uuid) ^ sys::rd_kafka_Uuid_least_significant_bits(uuid))
                .cast_unsigned()
        };
        let mut count = 0;
        let partitions = sys::rd_kafka_TopicDescription_partitions(topic, &raw mut count);
        let mut leaders = vec![-1; count];
        for partition in elements(partitions, count) {
            let number = usize::try_from(sys::rd_kafka_TopicPartitionInfo_partition(*partition));
            let leader = sys::rd_kafka_TopicPartitionInfo_leader(*partition);
            if let Some(place) = number.ok().and_then(|number| leaders.get_mut(number))
                && !leader.is_null()
            {
                *place = sys::rd_kafka_Node_id(leader);
            }
        }
        (name, Ok(TopicFacts { id, leaders }))
    }
}

/// Offsets of partitions of any topics, as consumers with `read_committed` see them.
pub(super) fn list_offsets<C: ClientContext>(
    client: &Client<C>,
    asked: &[(&str, u32, OffsetQuery)],
    limit: Duration,
) -> KafkaResult<Offsets> {
    let mut list = TopicPartitionList::with_capacity(asked.len());
    for (topic, partition, _) in asked {
        list.add_partition(topic, partition.cast_signed());
    }
    // special offsets have other meanings in the list's own interface, so they are set in place
    // SAFETY: the list is alive, has as many elements as were added, and nobody else has it.
    unsafe {
        let raw = &*list.ptr();
        let elements = slice::from_raw_parts_mut(raw.elems, usize::try_from(raw.cnt).unwrap_or(0));
        for (element, (.., query)) in elements.iter_mut().zip(asked) {
            element.offset = match query {
                OffsetQuery::Earliest => -2,
                OffsetQuery::Latest => -1,
                OffsetQuery::Time(time) => (*time).max(0),
            };
        }
    }
    ask(
        client,
        sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS,
        limit,
        // SAFETY: all live through the call; an error of the isolation level can only say that it is unknown.
        |handle, options, queue| unsafe {
            let refused = sys::rd_kafka_AdminOptions_set_isolation_level(
                options.cast_mut(),
                sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
            );
            drop(Owned(refused, sys::rd_kafka_error_destroy));
            sys::rd_kafka_ListOffsets(handle, list.ptr(), options, queue);
        },
        // SAFETY: the result lives as long as the event, and so do its elements.
        |event| unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_ListOffsets_result(event);
            let found = sys::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
            elements(found, count)
                .iter()
                .map(|info| element(&*sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*info)))
                .collect()
        },
    )
}

fn element(element: &sys::rd_kafka_topic_partition_t) -> (String, u32, Result<i64, RDKafkaErrorCode>) {
    let offset = if element.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        Ok(element.offset)
    } else {
        Err(code(element.err))
    };
    (text(element.topic), u32::try_from(element.partition).unwrap_or(u32::MAX), offset)
}

fn named(partitions: &[(&str, u32)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        list.add_partition(topic, partition.cast_signed());
    }
    list
}

/// The answer about one group: its partitions, or the error for the whole group.
///
/// # Safety
/// `groups` has `count` living elements.
unsafe fn of_one_group(
    groups: *mut *const sys::rd_kafka_group_result_t,
    count: usize,
) -> Result<Offsets, RDKafkaErrorCode> {
    // SAFETY: as the caller promises.
    unsafe {
        let Some(group) = elements(groups, count).first() else { return Ok(Vec::new()) };
        if let Some(error) = error_of(sys::rd_kafka_group_result_error(*group)) {
            return Err(error);
        }
        let list = sys::rd_kafka_group_result_partitions(*group);
        if list.is_null() || (*list).elems.is_null() {
            return Ok(Vec::new());
        }
        let count = usize::try_from((*list).cnt).unwrap_or(0);
        Ok(slice::from_raw_parts((*list).elems, count).iter().map(element).collect())
    }
}

/// The committed positions of a group: of these partitions (-1001 where it has none), or all that it has.
///
/// The client has to be a consumer's: when the coordinator has moved, librdkafka (2.12) asks the client's own group to look for
/// it, and a client without one is a null pointer there.
pub(super) fn group_offsets<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    of: Option<&[(&str, u32)]>,
    limit: Duration,
) -> KafkaResult<Offsets> {
    let group = c_text(group)?;
    let list = of.map(named);
    // SAFETY: name and list live through the call, which copies them.
    let mut request = unsafe {
        let list = list.as_ref().map_or(ptr::null_mut(), TopicPartitionList::ptr);
        Owned(
            sys::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), list),
            sys::rd_kafka_ListConsumerGroupOffsets_destroy,
        )
    };
    ask(
        client,
        sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS,
        limit,
        // SAFETY: all live through the call.
        |handle, options, queue| unsafe {
            // positions inside an open transaction are not there yet
            let refused = sys::rd_kafka_AdminOptions_set_require_stable_offsets(options.cast_mut(), 1);
            drop(Owned(refused, sys::rd_kafka_error_destroy));
            sys::rd_kafka_ListConsumerGroupOffsets(handle, &raw mut request.0, 1, options, queue);
        },
        // SAFETY: the result lives as long as the event.
        |event| unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_ListConsumerGroupOffsets_result(event);
            let groups = sys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &raw mut count);
            of_one_group(groups, count)
        },
    )?
    .map_err(KafkaError::AdminOp)
}

/// Commits positions of a group that has no members. Answers what became of each.
pub(super) fn set_group_offsets<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    positions: &[(&str, u32, i64)],
    limit: Duration,
) -> KafkaResult<Offsets> {
    let group = c_text(group)?;
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for (topic, partition, offset) in positions {
        list.add_partition_offset(topic, partition.cast_signed(), Offset::Offset(*offset))?;
    }
    // SAFETY: name and list live through the call, which copies them.
    let mut request = unsafe {
        Owned(
            sys::rd_kafka_AlterConsumerGroupOffsets_new(group.as_ptr(), list.ptr()),
            sys::rd_kafka_AlterConsumerGroupOffsets_destroy,
        )
    };
    ask(
        client,
        sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS,
        limit,
        // SAFETY: all live through the call.
        |handle, options, queue| unsafe {
            sys::rd_kafka_AlterConsumerGroupOffsets(handle, &raw mut request.0, 1, options, queue);
        },
        // SAFETY: the result lives as long as the event.
        |event| unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_AlterConsumerGroupOffsets_result(event);
            let groups = sys::rd_kafka_AlterConsumerGroupOffsets_result_groups(result, &raw mut count);
            of_one_group(groups, count)
        },
    )?
    .map_err(KafkaError::AdminOp)
}

/// Takes positions of a group away. Answers what became of each.
pub(super) fn delete_group_offsets<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    partitions: &[(&str, u32)],
    limit: Duration,
) -> KafkaResult<Offsets> {
    let group = c_text(group)?;
    let list = named(partitions);
    // SAFETY: name and list live through the call, which copies them.
    let mut request = unsafe {
        Owned(
            sys::rd_kafka_DeleteConsumerGroupOffsets_new(group.as_ptr(), list.ptr()),
            sys::rd_kafka_DeleteConsumerGroupOffsets_destroy,
        )
    };
    ask(
        client,
        sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETECONSUMERGROUPOFFSETS,
        limit,
        // SAFETY: all live through the call.
        |handle, options, queue| unsafe {
            sys::rd_kafka_DeleteConsumerGroupOffsets(handle, &raw mut request.0, 1, options, queue);
        },
        // SAFETY: the result lives as long as the event.
        |event| unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_DeleteConsumerGroupOffsets_result(event);
            let groups = sys::rd_kafka_DeleteConsumerGroupOffsets_result_groups(result, &raw mut count);
            of_one_group(groups, count)
        },
    )?
    .map_err(KafkaError::AdminOp)
}

/// Sets some of a topic's settings (`None`: back to the default) and leaves the others (KIP-339).
pub(super) fn alter_topic_config<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    changes: &[(&str, Option<&str>)],
    limit: Duration,
) -> KafkaResult<()> {
    let topic = c_text(topic)?;
    // SAFETY: the name is copied.
    let mut resource = unsafe {
        Owned(
            sys::rd_kafka_ConfigResource_new(
                sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC,
                topic.as_ptr(),
            ),
            sys::rd_kafka_ConfigResource_destroy,
        )
    };
    for (key, value) in changes {
        let (key, given) = (c_text(key)?, c_text(value.unwrap_or_default())?);
        let (operation, value) = match value {
            Some(_) => (sys::rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET, given.as_ptr()),
            None => (sys::rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_DELETE, ptr::null()),
        };
        // SAFETY: both texts are copied; the error that comes back is ours to destroy.
        let refused = unsafe {
            Owned(
                sys::rd_kafka_ConfigResource_add_incremental_config(
                    resource.0,
                    key.as_ptr(),
                    operation,
                    value,
                ),
                sys::rd_kafka_error_destroy,
            )
        };
        if let Some(error) = error_of(refused.0) {
            return Err(KafkaError::AdminOp(error));
        }
    }
    ask(
        client,
        sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS,
        limit,
        // SAFETY: all live through the call.
        |handle, options, queue| unsafe {
            sys::rd_kafka_IncrementalAlterConfigs(handle, &raw mut resource.0, 1, options, queue);
        },
        // SAFETY: the result lives as long as the event.
        |event| unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_IncrementalAlterConfigs_result(event);
            let found = sys::rd_kafka_IncrementalAlterConfigs_result_resources(result, &raw mut count);
            elements(found.cast(), count).iter().find_map(
                |resource: &*const sys::rd_kafka_ConfigResource_t| {
                    let error = sys::rd_kafka_ConfigResource_error(*resource);
                    (error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR)
                        .then(|| (code(error), text(sys::rd_kafka_ConfigResource_error_string(*resource))))
                },
            )
        },
    )?
    .map_or(Ok(()), |(error, why)| {
        tracing::debug!(%error, why, "the cluster refused a topic's settings");
        Err(KafkaError::AdminOp(error))
    })
}

/// Whether a message that was not acknowledged may be stored all the same.
pub(super) fn may_be_stored(message: &BorrowedMessage<'_>) -> bool {
    // SAFETY: the message is alive as long as it is borrowed.
    let status = unsafe { sys::rd_kafka_message_status(message.ptr()) };
    status != sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED
}
