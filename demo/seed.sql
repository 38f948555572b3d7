-- The host application's first data: two users and an administrator, and a little of everything they own.
-- The ids that others rely on are fixed, and stand in `host` too; everything else is made up.

insert into app_user (id, email, role) values
    ('00000000-0000-4000-8000-000000000001', 'user1@example.com', 'user'),
    ('00000000-0000-4000-8000-000000000002', 'user2@example.com', 'user'),
    ('00000000-0000-4000-8000-0000000000ad', 'admin@example.com', 'admin');

insert into workflow (id, owner_id, name) values
    ('00000000-0000-4000-8000-0000000000f1', '00000000-0000-4000-8000-000000000001', 'Hand-driven');

insert into workflow (owner_id, name)
select app_user.id, name
from app_user
cross join unnest(array['Invoice intake', 'Lead research', 'Weekly report', 'Support triage']) as name
where role = 'user';

-- The one that the simulator leaves alone: what happens to it, a person has done.
insert into workflow_execution (id, workflow_id, status, progress, current_node, cost_usd, input, started_at) values (
    '00000000-0000-4000-8000-0000000000e1', '00000000-0000-4000-8000-0000000000f1', 'running', 40, 'review', 0.1200,
    '{"document": "contract.pdf"}', now() - interval '90 seconds'
);

insert into agent_task (execution_id, user_id, agent, task_type, status, progress, cost_usd, tokens) values (
    '00000000-0000-4000-8000-0000000000e1', '00000000-0000-4000-8000-000000000001', 'reviewer', 'review', 'running',
    40, 0.0300, 1800
);

-- Five executions of each workflow for each status, spread over the last days.
insert into workflow_execution
    (workflow_id, status, progress, current_node, error_message, cost_usd, input, output, started_at, completed_at)
select
    workflow.id,
    status,
    case status when 'pending' then 0 when 'completed' then 100 else 10 + (n * 17) % 80 end,
    case when status in ('running', 'paused') then 'research' end,
    case status when 'failed' then 'The model gave no usable answer' end,
    case status when 'pending' then 0 else round((0.01 * (1 + n * 7 % 40))::numeric, 4) end,
    jsonb_build_object('batch', n),
    case status when 'completed' then jsonb_build_object('pages', n % 9 + 1) end,
    case when status <> 'pending' then begun end,
    case when status in ('completed', 'failed', 'cancelled') then begun + make_interval(secs => 20 + n * 13 % 200) end
from workflow
cross join unnest(array['pending', 'running', 'paused', 'completed', 'failed', 'cancelled'])
    with ordinality as statuses (status, place)
cross join generate_series(1, 5) as n
cross join lateral (
    select now() - make_interval(hours => (n * 11 + place::int) % 70, mins => 5 + n) as begun
) as history
where workflow.id <> '00000000-0000-4000-8000-0000000000f1'
    and (status not in ('pending', 'running', 'paused') or n = 1);

insert into agent_task
    (execution_id, user_id, agent, task_type, status, progress, cost_usd, tokens, error_message, created_at, updated_at)
select
    execution.id,
    workflow.owner_id,
    (array['planner', 'researcher', 'writer'])[n],
    (array['plan', 'research', 'write'])[n],
    execution.status,
    execution.progress,
    round(execution.cost_usd / 3, 4),
    500 * n + execution.progress * 10,
    execution.error_message,
    coalesce(execution.started_at, now()),
    coalesce(execution.completed_at, execution.started_at, now())
from workflow_execution as execution
join workflow on workflow.id = execution.workflow_id
cross join generate_series(1, 3) as n
where execution.id <> '00000000-0000-4000-8000-0000000000e1';

insert into connector (name, provider) values
    ('Mailbox', 'imap'), ('Sheets', 'google'), ('Tickets', 'zendesk'), ('Chat', 'slack');

insert into connector_call (connector_id, user_id, status, latency_ms, created_at)
select
    connector.id,
    app_user.id,
    case when n % 23 = 0 then 'timeout' when n % 11 = 0 then 'error' else 'success' end,
    20 + n * 37 % 400,
    now() - make_interval(mins => n * 7)
from connector
cross join app_user
cross join generate_series(1, 40) as n
where app_user.role = 'user';
